# SPDX-License-Identifier: MIT
"""What nvcc could be made to write by a slip in a kernel, as edits of its PTX, for mutants.py. Chosen by patterns, so that they outlast small
changes of nvcc's output."""
import typing


class Ptx(typing.NamedTuple):
    what: str
    file: str  # below kernels/cuda, without .cu
    kernel: str  # a pattern in the kernel's name with its template arguments; each kernel that has it is edited
    find: str  # a pattern in its PTX; ^ and $ are the ends of a line
    put: str
    tests: str  # a filter of test_cuda; one of these has to fail
    where: int | None = 0  # which match in each kernel, counted from its beginning or, below 0, from its end; None: all
    detect: str = ""


R = r"%\w+"  # a register
HALF, BFLOAT = "mirilla::Half", "mirilla::BFloat16"
MMA = r"^mma\S+ \{[^}]*\}, "

CONV = "CudaConv2d.EqualsTheReferenceInAllShapes/*"
DATA = "CudaConv2d.GoesBackToTheDataInAllShapes/*"
WEIGHT = "CudaConv2d.GoesBackToTheWeightsInAllShapes/*"
MATMUL = "CudaMatmul.EqualsTheReferenceAtEverySize/*"
WINNERS = "CudaMaxPool2d.ChoosesTheSameWinnersAsTheReference/*"
MAX_POOL = "CudaMaxPool2d.PoolsAndGoesBackAtEveryShape/*"
AVERAGE = "CudaAdaptivePool2d.Averages/*:CudaAdaptivePool2d.FindsTheLargest/*"
NORM_BACK = "CudaBatchNormBackward.EqualsTheReference/*"
ONE_ROUNDING = "CudaAdd32.RoundsOnceToTheNearest"
RELU, ADD, CAST, LOSS = "CudaRelu.*", "CudaAdd.AddsAtEverySize/*:CudaAdd.ScalesAtEverySizeAndInPlace/*", "CudaCast.*", "*CudaLoss.*"
STATISTICS = "*CudaBatchNorm.Statistics*:CudaBatchNormStatistics.*"

PTX = [
    # Fragments of the tensor cores.
    Ptx("A's first two registers swapped", "conv2d", HALF, rf"({MMA}\{{)({R}), ({R}),", r"\1\3, \2,", CONV),
    Ptx("A's last two registers swapped", "linear", BFLOAT, rf"({MMA}\{{{R}, {R}, )({R}), ({R})\}}", r"\1\3, \2}", MATMUL, where=-1),
    Ptx("B's two registers swapped", "conv2d_backward_data", HALF, rf"({MMA}\{{[^}}]*\}}, )\{{({R}), ({R})\}}", r"\1{\3, \2}", DATA),
    Ptx("one register of B for both", "linear", HALF, rf"({MMA}\{{[^}}]*\}}, )\{{({R}), ({R})\}}", r"\1{\2, \2}", MATMUL, where=-1),
    Ptx("two sums swapped where they are written", "conv2d", BFLOAT, rf"^(mma\S+ \{{)({R}), ({R})", r"\1\3, \2", CONV, where=-1),
    Ptx("bf16 taken for f16", "linear", BFLOAT, r"\.f32\.bf16\.bf16\.f32", ".f32.f16.f16.f32", MATMUL),
    Ptx("f16 taken for bf16", "conv2d_backward_weight", HALF, r"\.f32\.f16\.f16\.f32", ".f32.bf16.bf16.f32", WEIGHT),
    Ptx("a sum that starts anew", "conv2d", HALF, rf"^(mma.*, \{{{R}, {R}\}}, )\{{[^}}]*\}};", r"\1{0f00000000, 0f00000000, 0f00000000, 0f00000000};", CONV,
        where=-1),
    Ptx("a product left out", "conv2d_backward_data", BFLOAT, r"^mma.*;", "", DATA, where=-1),
    # Matrices from shared memory.
    Ptx(".trans dropped", "conv2d_backward_weight", HALF, r"\.x4\.trans\.", ".x4.", WEIGHT),
    Ptx(".trans dropped from the last", "linear", BFLOAT, r"\.x4\.trans\.", ".x4.", MATMUL, where=-1),
    Ptx(".trans added", "conv2d", BFLOAT, r"\.x4\.shared", ".x4.trans.shared", CONV),
    Ptx("matrices in another order", "conv2d_backward_data", BFLOAT, rf"^(ldmatrix\S+ \{{)({R}), ({R})", r"\1\3, \2", DATA),
    Ptx("a row's address too far", "linear", HALF, rf"^(ldmatrix.*\[{R})\]", r"\1+16]", MATMUL),
    # Rounding.
    Ptx("a sum rounded towards zero", "add", "map_kernel<true, 4", r"^add\.f32", "add.rz.f32", ONE_ROUNDING, where=None),
    Ptx("a product rounded down", "add", "map_kernel<true, 4", r"^mul\.f32", "mul.rm.f32", ONE_ROUNDING, where=None),
    Ptx("an integer made a float towards zero", "cast", "Convert<float>, float, long", r"^cvt\.rn\.f32\.[us]64", "cvt.rz.f32.s64", CAST, where=None),
    Ptx("a normalised value rounded down", "batch_norm", "apply_rows_kernel", r"^fma\.rn\.f32", "fma.rm.f32", "CudaBatchNorm.*", where=None),
    Ptx("a float made an integer by rounding up", "cast", "Convert<long>, long, float", r"^cvt\.rzi\.s64\.f32", "cvt.rpi.s64.f32", CAST, where=None),
    Ptx("a pixel's place rounded up", "augment", "augment_kernel", r"^cvt\.rzi\.s32\.f64", "cvt.rpi.s32.f64", "CudaAugment*.*", where=None),
    # Saturation and approximations.
    Ptx("an exponential without .sat", "cross_entropy", "softmax_kernel", r"^cvt\.sat\.f32\.f32", "mov.f32", LOSS, where=None),
    Ptx("a logarithm for an exponential", "cross_entropy", "cross_entropy_kernel", r"^ex2\.approx\.ftz\.f32", "lg2.approx.ftz.f32", LOSS),
    # Widths of accesses.
    Ptx("half of a vector stored", "relu", "Relu<", rf"^st\.global\.v4\.b32 \[({R})\], \{{({R}), ({R}), .*$", r"st.global.v2.b32 [\1], {\2, \3};", RELU),
    Ptx("a vector stored a word too far", "add", "map_kernel<true, 4", rf"^st\.global\.v4\.b32 \[({R})\]", r"st.global.v4.b32 [\1+4]", ADD),
    Ptx("a word stored by half", "transpose", "transpose_kernel<unsigned int>", r"^st\.global\.u32 (\[.*\]), %r(\d+);$", r"st.global.u16 \1, %r\2;",
        "CudaTranspose.*", where=None),
    Ptx("a byte taken as signed", "augment", "augment_kernel", r"^ld\.global\.nc\.u8", "ld.global.nc.s8", "CudaAugment*.*"),
    Ptx("a slice read by vectors where it starts anywhere", "relu", "map_kernel<false, 8", rf"^ld\.global\.u16 (%rs\d+), (\[{R}\])",
        r"ld.global.u32 %r0, \2;\ncvt.u16.u32 \1, %r0", RELU),
    Ptx("a pointer taken as 32 bits", "cross_entropy", "cross_entropy_kernel", r"^ld\.param\.u64", "ld.param.u32", LOSS),
    # Barriers, which only the race detector or another order can see.
    Ptx("the barrier between putting a tile and reading it left out", "linear", HALF, r"^bar\.sync 0;", "", MATMUL, detect="races"),
    Ptx("the barrier before the sums are staged left out", "conv2d", "float", r"^bar\.sync 0;", "", CONV, where=-1, detect="races"),
    Ptx("__syncwarp before a stage is read left out", "conv2d", HALF, r"^bar\.warp\.sync -1;", "", CONV, detect="races"),
    Ptx("__syncwarp after a stage was read left out", "linear", BFLOAT, r"^bar\.warp\.sync -1;", "", MATMUL, where=-2, detect="races"),
    Ptx("__syncwarp of fewer lanes", "conv2d_backward_data", HALF, r"^bar\.warp\.sync -1;", "bar.warp.sync 65535;", DATA),
    Ptx("the barrier of a transposed square left out", "transpose", "transpose_kernel", r"^bar\.sync 0;", "", "CudaTranspose.*", detect="races"),
    Ptx("the barrier of a block's sum left out", "reductions", "sum_kernel", r"^bar\.sync 0;", "", "CudaReductions.SumsAtEverySize/*", detect="races"),
    Ptx("the barrier of the channels' sums left out", "batch_norm_backward", "sums_kernel", r"^bar\.sync 0;", "", NORM_BACK, detect="races"),
    Ptx("the barrier before a block is counted left out", "batch_norm_backward", "sums_kernel", r"^bar\.sync 0;", "", NORM_BACK, where=-2,
        detect="races"),
    Ptx("the fence before a block is counted left out", "batch_norm_backward", "sums_kernel", r"^(membar\.gl|fence\S*);", "", NORM_BACK, where=-2,
        detect="races"),
    Ptx("a counter that does not return to 0", "batch_norm_statistics", "moments_kernel", r"^atom\.global\.inc\.u32", "atom.global.add.u32", STATISTICS,
        where=None),
    Ptx("a barrier that some threads pass by", "grad_cam", "grad_cam_weights_kernel", r"^bar\.sync 0;", "@%p1 bar.sync 0;", "CudaGradCam.*"),
    # Shuffles and votes.
    Ptx("a shuffle between other lanes", "reductions", "sum_kernel", rf"^(shfl\.sync\.bfly\.b32 {R}\|{R}, {R}), {R},", r"\1, 3,", "CudaReductions.SumsAtEverySize/*"),
    Ptx("a shuffle that misses half of the warp", "cross_entropy", "softmax_kernel", rf"^(shfl.*), {R};", r"\1, 65535;", LOSS),
    Ptx("a shuffle within 16 lanes", "grad_cam", "grad_cam_map_kernel", rf"^(shfl.*), {R}, ({R};)", r"\1, 4127, \2", "CudaGradCam.*", where=None),
    Ptx("a shuffle down instead of across", "cross_entropy", "softmax_kernel", r"^shfl\.sync\.bfly", "shfl.sync.down", LOSS),
    Ptx("a vote that all must win", "batch_norm_statistics", "moments_kernel", r"^(bar|barrier)\.red\.or\.pred", r"\1.red.and.pred", STATISTICS),
    # Loads through the read-only path.
    Ptx(".nc of what the launch writes", "adam", "update_scale_kernel", r"^ld\.global\.f32", "ld.global.nc.f32", "CudaUpdateScale.*", where=None,
        detect="constant"),
    Ptx(".nc of a gradient that is added to in place", "add", "map_kernel<true, 4", r"^ld\.global\.f32", "ld.global.nc.f32", "CudaAdd.AddsIntoEitherOfTheTwo/*",
        where=None, detect="constant"),
    # Atomics.
    Ptx("an atomic exchange left out", "adam", "check_finite_kernel", r"^.*atom\.global\.exch\.b32.*$", "", "*CudaCheckFinite.*"),
    Ptx("an atomic exchange of another word", "adam", "check_finite_kernel", rf"(atom\.global\.exch\.b32 {R}, \[{R})\]", r"\1+-4]", "*CudaCheckFinite.*"),
    Ptx("an atomic exchange of another value", "adam", "check_finite_kernel", r"(atom\.global\.exch\.b32.*), 1065353216;", r"\1, 0;", "*CudaCheckFinite.*"),
    Ptx("an atomic minimum for an exchange", "adam", "check_finite_kernel", r"atom\.global\.exch\.b32", "atom.global.min.s32", "*CudaCheckFinite.*"),
    # Bounds and predicates.
    Ptx("< made <=", "relu", "map_kernel", r"^setp\.lt\.s64", "setp.le.s64", RELU, where=None),
    Ptx(">= made >", "concat", "concat_kernel", r"^setp\.ge\.u64", "setp.gt.u64", "CudaConcat.*", where=None),
    Ptx("a bound of a tile's rows off by one", "linear", "float", r"^setp\.lt\.s64", "setp.le.s64", MATMUL, where=None),
    Ptx("the predicate of a tail negated", "add", "map_kernel<true, 8", r"^@(%p\d+ bra)", r"@!\1", ADD, where=-1),
    Ptx("a signed bound without sign", "max_pool2d", "max_pool2d_kernel", r"^max\.s32", "max.u32", MAX_POOL, where=None),
    Ptx("a row above the picture read", "max_pool2d", "max_pool2d_down_kernel", r"^max\.s32", "min.s32", MAX_POOL, where=None),
    Ptx("a NaN that does not win", "max_pool2d", "max_pool2d_down_kernel<mirilla::Half", r"set\.gtu\.u32", "set.gt.u32", WINNERS, where=None),
    Ptx("a number that wins over NaN", "max_pool2d", "max_pool2d_down_kernel<mirilla::BFloat16", r"min\.bf16x2", "min.NaN.bf16x2", WINNERS, where=None),
    Ptx("a comparison that forgets NaN", "relu", "Relu<", r"^setp\.lt\.f32", "setp.ltu.f32", RELU, where=None),
    # Addresses.
    Ptx("cvta left out", "adam", "clear_overflow_kernel", rf"^cvta\.to\.global\.u64 ({R}), ({R});", r"mov.u64 \1, 0;", "*CudaCheckFinite.*"),
    Ptx("a stride of the picture's other side", "max_pool2d", "max_pool2d_backward_kernel", r"^mul\.lo\.s64 (.*), (%rd\d+), (%rd\d+);", r"add.s64 \1, \2, \3;",
        MAX_POOL, where=-1),
    Ptx("an index of 32 bits where 64 are meant", "batch_norm", "apply_rows_kernel", r"^mul\.lo\.s64", "mul.hi.s64", "CudaBatchNorm.Apply*", where=0),
    Ptx("a cell that ends one further", "adaptive_pool2d", "adaptive_pool2d_kernel", r"^setp\.lt\.s32", "setp.le.s32", AVERAGE, where=None),
    Ptx("a store left out", "batch_norm_backward", "back_rows_kernel", r"^st\.global\.v4\.b32.*$", "", NORM_BACK),
    Ptx("the store of a tail left out", "dropout", "map_kernel<true, 8", r"^st\.global\.u16.*$", "", "CudaDropout.*", where=-1),
    Ptx("a mask's store left out", "batch_norm", "apply_rows_kernel", r"^st\.global\.u8.*$", "", "CudaBatchNorm.TheMask*"),
    Ptx("a lane's number for the thread's", "reductions", "sum_rows_kernel", r"%tid\.x", "%laneid", "CudaReductions.SumsRows*"),
    Ptx("the grid's size for a block's number", "conv2d_backward_weight", "add_parts_kernel", r"%ctaid\.x", "%nctaid.x", "CudaConv2d.RunsTheLayersOfResNet18/*"),
]
