# SPDX-License-Identifier: MIT
"""What the program could do wrong with CUDA's runtime, for mutants.py: MIRILLA_EMULATE_MISTAKE, and who has to notice it."""
import typing


class Call(typing.NamedTuple):
    what: str
    mistake: str
    tests: str  # a filter of test_cuda; one of these has to fail
    seed: int = 0


COPIES, AHEAD, REPLAY = "CudaDevice.CopiesThereAndBackAndWithin", "CudaStreams.*", "CudaReplay.*"
CONV = "CudaConv2d.EqualsTheReferenceInAllShapes/f32"

CALLS = [
    Call("a copy on the GPU left out", "drop:cudaMemcpyAsync:2", COPIES),
    Call("a copy to the host left out", "drop:cudaMemcpyAsync:3", COPIES),
    Call("a copy one byte short", "short:cudaMemcpyAsync:1", COPIES),
    Call("a copy on the GPU one byte short", "short:cudaMemcpyAsync:2", COPIES),
    Call("a copy on another stream", "stray:cudaMemcpyAsync:2", COPIES),
    Call("the wait for the device left out", "drop:cudaStreamSynchronize:all", "CudaStreams.AreBothWaitedForBySynchronize"),
    Call("the second stream does not wait for the first", "drop:cudaStreamWaitEvent:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the first stream does not follow the second", "drop:cudaStreamWaitEvent:all", "CudaStreams.SettleMemoryBeforeSomebodyElseGetsIt"),
    Call("the wrong stream waits", "stray:cudaStreamWaitEvent:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("events are not recorded", "drop:cudaEventRecordWithFlags:all", "CudaStreams.SendAheadAfterAMarkOfTheMainStream"),
    Call("events are recorded on another stream", "stray:cudaEventRecordWithFlags:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the wait for a mark left out", "drop:cudaEventSynchronize:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the wait for a mark behind a replay left out", "drop:cudaEventSynchronize:all", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a replay that does not run", "drop:cudaGraphLaunch:2", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a replay on another stream", "stray:cudaGraphLaunch:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a recorded kernel left out", "drop:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a kernel on a stream that does not record", "stray:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a wait while a replay records", "wait:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("memory released too early", "early:cudaMalloc:1", COPIES),
    Call("intermediate memory released too early", "early:cudaMallocFromPoolAsync:1", "CudaReductions.SumsWhatManyBlocksShare/*"),
    Call("intermediate memory released on another stream", "stray:cudaFreeAsync:all", "CudaReductions.SumsWhatManyBlocksShare/*", seed=1),
]

# Of cuDNN and cuBLASLt, by kernels/cuda/vendor. Where a stand-in says what is wrong, it counts as caught: program_test.py allows no such line.
FORWARD = "CudaConv2d.EqualsTheReferenceInAllShapes/f16"
BACK, WEIGHTS = "CudaConv2d.GoesBackToTheDataInAllShapes/f16", "CudaConv2d.GoesBackToTheWeightsInAllShapes/f16"
PRODUCT = "CudaMatmul.EqualsTheReferenceAtEverySize/f16"
LIBRARIES = [
    Call("a wrong stride", "alter:CUDNN_ATTR_TENSOR_STRIDES:all", FORWARD),
    Call("a wrong stride of the gradient", "alter:CUDNN_ATTR_TENSOR_STRIDES:all", BACK),
    Call("one wrong stride", "alter:CUDNN_ATTR_TENSOR_STRIDES:2", FORWARD),
    Call("a wrong extent", "alter:CUDNN_ATTR_TENSOR_DIMENSIONS:all", FORWARD),
    Call("one wrong extent", "alter:CUDNN_ATTR_TENSOR_DIMENSIONS:1", WEIGHTS),
    Call("the other half type", "alter:CUDNN_ATTR_TENSOR_DATA_TYPE:all", FORWARD),
    Call("an alignment that a tensor does not have", "alter:CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT:all", FORWARD),
    Call("another padding", "alter:CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS:all", FORWARD),
    Call("another padding at the end", "alter:CUDNN_ATTR_CONVOLUTION_POST_PADDINGS:all", WEIGHTS),
    Call("another stride of the filter", "alter:CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES:all", FORWARD),
    Call("another dilation", "alter:CUDNN_ATTR_CONVOLUTION_DILATIONS:all", BACK),
    Call("an address further on", "alter:CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS:all", FORWARD),
    Call("a workspace that begins further on", "alter:CUDNN_ATTR_VARIANT_PACK_WORKSPACE:all", WEIGHTS),
    Call("a convolution left out", "drop:cudnnBackendExecute:all", FORWARD),
    Call("the handle's stream not set", "drop:cudnnSetStream:all", FORWARD),
    Call("another stream for a convolution", "stray:cudnnSetStream:all", FORWARD),
    Call("a wrong leading dimension", "alter:cublasLtMatrixLayoutCreate:all", PRODUCT),
    Call("one wrong leading dimension", "alter:cublasLtMatrixLayoutCreate:2", PRODUCT),
    Call("A transposed", "alter:CUBLASLT_MATMUL_DESC_TRANSA:all", PRODUCT),
    Call("B transposed", "alter:CUBLASLT_MATMUL_DESC_TRANSB:all", PRODUCT),
    Call("a result further on", "alter:cublasLtMatmul:all", PRODUCT),
    Call("a product left out", "drop:cublasLtMatmul:all", PRODUCT),
    Call("another stream for a product", "stray:cublasLtMatmul:all", PRODUCT),
]

# Mistakes in a training with replayed steps: it has to give another model, or end with an error.
TRAINING = {
    "the host waits for no event": "drop:cudaEventSynchronize:all",
    "no event is recorded": "drop:cudaEventRecordWithFlags:all",
    "a replay does not run": "drop:cudaGraphLaunch:1",
    "intermediate memory that is released too early": "early:cudaMallocFromPoolAsync:60",
    "no stream waits for another": "drop:cudaStreamWaitEvent:all",
    "a kernel left out": "drop:cudaLaunchKernel:500",
    "a wait that nothing needs": "wait:cudaLaunchKernel:900",
    "copies that are one byte short": "short:cudaMemcpyAsync:all",
}
