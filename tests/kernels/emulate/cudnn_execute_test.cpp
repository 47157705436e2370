// SPDX-License-Identifier: MIT
#include "kernels/core/ops/conv2d.h"
#include "kernels/emulate/library/work.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/emulate/cudnn_support.h"

#include <cmath>

// What the stand-in for cuDNN computes, when, and what it says where it is given the wrong memory.
namespace mirilla::emulate {
namespace {

using testing::HasSubstr;

struct Shapes {
  int64_t n, h, w, c, k, r, s;
  int stride, padding, dilation;
  int64_t p() const { return (h + 2 * padding - dilation * (r - 1) - 1) / stride + 1; }
  int64_t q() const { return (w + 2 * padding - dilation * (s - 1) - 1) / stride + 1; }
  Shape x() const { return {n, h, w, c}; }
  Shape weights() const { return {k, r, s, c}; }
  Shape y() const { return {n, p(), q(), k}; }
};

cudnnDataType_t cudnn_type(DType dtype) {
  return dtype == DType::f16 ? CUDNN_DATA_HALF : dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// cuDNN's order of the extents of a shape whose channels are last.
Extents extents(const Shape& shape) { return {shape[0], shape[3], shape[1], shape[2]}; }

std::vector<float> numbers(int64_t count, DType dtype, unsigned seed) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 2654435761u * (seed + 1);
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  round_to(dtype, values);
  return values;
}

struct EmulatedCudnnPlan : Emulated {
  // Device memory with these values.
  static void* on_device(const std::vector<float>& values, DType dtype) {
    std::vector<std::byte> bytes(values.size() * size_of(dtype));
    store_floats(values, bytes.data(), dtype);
    void* address = nullptr;
    EXPECT_EQ(cudaMalloc(&address, bytes.size()), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(address, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), cudaSuccess);
    return address;
  }
  static std::vector<float> on_host(const void* address, DType dtype, int64_t count) {
    std::vector<std::byte> bytes(static_cast<size_t>(count) * size_of(dtype));
    EXPECT_EQ(cudaMemcpy(bytes.data(), address, bytes.size(), cudaMemcpyDeviceToHost), cudaSuccess);
    return floats_at(bytes.data(), dtype, count);
  }
  static cudnnHandle_t handle_on(cudaStream_t stream) {
    cudnnHandle_t handle = nullptr;
    EXPECT_EQ(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnSetStream(handle, stream), CUDNN_STATUS_SUCCESS);
    return handle;
  }
  static Descriptor operation(const Shapes& z, DType dtype, Kind kind) {
    const Descriptor conv = done(unfinished_convolution({z.padding, z.padding}, {z.stride, z.stride}, {z.dilation, z.dilation}));
    const auto type = cudnn_type(dtype);
    return done(unfinished_operation(kind, tensor({1, extents(z.x()), type}), tensor({2, extents(z.weights()), type}),
                                     tensor({3, extents(z.y()), type}), conv));
  }
};

// In f32 from the same numbers, each sum in f64.
std::vector<float> by_reference(const Shapes& z, Kind kind, const std::vector<float>& first, const std::vector<float>& second) {
  const auto read = [](const std::vector<float>& values, const Shape& shape) {
    return ConstView{values.data(), shape, DType::f32, 0, 0, true};
  };
  const Shape shape = kind == Kind::kForward ? z.y() : kind == Kind::kData ? z.x() : z.weights();
  std::vector<float> result(static_cast<size_t>(shape.numel()));
  const View written{result.data(), shape, DType::f32, true};
  const Conv2dSpec spec{z.stride, z.padding, z.dilation};
  ReferenceBackend backend;
  if (kind == Kind::kForward)
    backend.run(op::Conv2d{.x = read(first, z.x()), .w = read(second, z.weights()), .bias = {}, .spec = spec, .y = written});
  else if (kind == Kind::kData)
    backend.run(op::Conv2dBackwardData{.dy = read(first, z.y()), .w = read(second, z.weights()), .spec = spec, .dx = written});
  else
    backend.run(op::Conv2dBackwardWeight{.x = read(first, z.x()), .dy = read(second, z.y()), .spec = spec, .dw = written});
  return result;
}

// A unit in the last place of a value of this size, as far as it is normal.
double ulp(double value, DType dtype) {
  const int digits = dtype == DType::f16 ? 10 : dtype == DType::bf16 ? 7 : 23;
  return std::ldexp(1.0, std::max(std::ilogb(value == 0 ? 1e-30 : value), dtype == DType::f16 ? -14 : -126) - digits);
}

void expect_rounded(const std::vector<float>& got, const std::vector<float>& want, DType dtype, int64_t terms) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double sums = 0x1p-24 * static_cast<double>(terms);  // of f32 sums of terms below 1
    ASSERT_LE(std::abs(double{got[i]} - double{want[i]}), 0.51 * ulp(want[i], dtype) + sums)
        << "element " << i << ": " << got[i] << " and " << want[i];
  }
}

constexpr Shapes kShapes[]{{2, 8, 8, 16, 24, 3, 3, 1, 1, 1}, {1, 9, 7, 8, 16, 3, 3, 2, 1, 1},   {2, 6, 6, 16, 8, 1, 1, 1, 0, 1},
                           {1, 8, 8, 8, 32, 1, 1, 2, 0, 1},  {1, 19, 17, 4, 16, 7, 7, 2, 3, 1}, {1, 11, 5, 3, 5, 3, 2, 1, 0, 1},
                           {1, 12, 12, 8, 8, 3, 3, 1, 2, 2}};

TEST_F(EmulatedCudnnPlan, ComputesWhatTheReferenceDoesInEveryTypeAndDirection) {
  for (const Shapes& z : kShapes)
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
      for (const Kind kind : {Kind::kForward, Kind::kData, Kind::kFilter}) {
        start({});
        const Shape shapes[] = {z.x(), z.weights(), z.y()};
        const int written = kind == Kind::kForward ? 2 : kind == Kind::kData ? 0 : 1;
        std::vector<float> values[3];
        void* addresses[3];
        for (unsigned i = 0; i < 3; ++i) {
          values[i] = numbers(shapes[i].numel(), dtype, i);
          addresses[i] = on_device(values[i], dtype);
        }
        const cudnnHandle_t handle = handle_on(nullptr);
        const Descriptor graph = done(graph_of({operation(z, dtype, kind)}));
        const Descriptor plan = done(unfinished_plan(handle, graph, 0));
        ASSERT_EQ(workspace_of(plan), 0);
        ASSERT_EQ(cudnnBackendExecute(handle, plan, done(pack({{1, addresses[0]}, {2, addresses[1]}, {3, addresses[2]}}))),
                  CUDNN_STATUS_SUCCESS);
        const auto& first = kind == Kind::kData ? values[2] : values[0];
        const auto& second = kind == Kind::kFilter ? values[2] : values[1];
        const int64_t terms = kind == Kind::kForward ? z.r * z.s * z.c : kind == Kind::kData ? z.r * z.s * z.k : z.n * z.p() * z.q();
        SCOPED_TRACE(fmt::format("{} {}x{} stride {}, kind {}", name_of(dtype), z.r, z.s, z.stride, static_cast<int>(kind)));
        expect_rounded(on_host(addresses[written], dtype, shapes[written].numel()), by_reference(z, kind, first, second), dtype, terms);
      }
}

constexpr Shapes kSmall{1, 4, 4, 8, 8, 3, 3, 1, 1, 1};

// A plan of one forward convolution of ones: each y is the number of products under its window.
struct EmulatedCudnnForward : EmulatedCudnnPlan {
  void prepare(cudaStream_t stream, int64_t engine = 0) {
    x = on_device(std::vector<float>(128, 1), DType::f32);
    w = on_device(std::vector<float>(576, 1), DType::f32);
    y = on_device(std::vector<float>(128, 0), DType::f32);
    handle = handle_on(stream);
    graph = done(graph_of({operation(kSmall, DType::f32, Kind::kForward)}));
    plan = done(unfinished_plan(handle, graph, engine));
  }
  cudnnStatus_t run(void* workspace = nullptr) {
    return cudnnBackendExecute(handle, plan, done(pack({{1, x}, {2, w}, {3, y}}, workspace)));
  }
  float corner(cudaStream_t stream) {
    float value = 0;
    EXPECT_EQ(cudaMemcpyAsync(&value, y, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    return value;
  }
  void expect_refused(const std::function<cudnnStatus_t()>& f, cudnnStatus_t status, const char* sentence) {
    cudnnStatus_t answer = CUDNN_STATUS_SUCCESS;
    const std::string text = printed([&] { answer = f(); });
    EXPECT_EQ(answer, status) << text;
    EXPECT_THAT(text, HasSubstr(sentence));
  }

  void *x = nullptr, *w = nullptr, *y = nullptr;
  cudnnHandle_t handle = nullptr;
  Descriptor graph = nullptr, plan = nullptr;
  static constexpr float kCorner = 4 * 8;
};

TEST_F(EmulatedCudnnForward, RunsAsLateAsAKernelAndInTheOrderOfItsStream) {
  const cudaStream_t stream = make_stream(), other = make_stream();
  prepare(stream);
  ASSERT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(corner(other), 0);  // an event is missing
  const cudaEvent_t event = make_event();
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other, event, 0), cudaSuccess);
  EXPECT_EQ(corner(other), kCorner);
}

TEST_F(EmulatedCudnnForward, IsRecordedIntoAGraphAndReplayedWithItsAddresses) {
  const cudaStream_t stream = make_stream();
  prepare(stream);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(run(), CUDNN_STATUS_SUCCESS);
  cudaGraph_t recorded = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &recorded), cudaSuccess);
  EXPECT_EQ(corner(stream), 0);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, recorded, 0), cudaSuccess);
  for (const float value : {1.0f, 3.0f}) {
    const std::vector<float> values(128, value);
    ASSERT_EQ(cudaMemcpy(x, values.data(), 512, cudaMemcpyHostToDevice), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(corner(stream), value * kCorner);
  }
}

TEST_F(EmulatedCudnnForward, MakesNoHandleAndNoPlanWhileAStreamCaptures) {
  const cudaStream_t stream = make_stream();
  prepare(stream);
  const auto capture = [&](const std::function<void()>& f) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    f();
    cudaGraph_t recorded = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &recorded), cudaErrorStreamCaptureInvalidated);
  };
  capture([&] {
    cudnnHandle_t another = nullptr;
    expect_refused([&] { return cudnnCreate(&another); }, CUDNN_STATUS_NOT_INITIALIZED, "while a stream captures");
  });
  capture([&] {
    expect_refused([&] { return cudnnBackendFinalize(unfinished_plan(handle, graph, 0)); }, CUDNN_STATUS_EXECUTION_FAILED_CUDART,
                   "while a stream captures");
  });
}

TEST_F(EmulatedCudnnForward, WantsAPointerForEachTensorAlignedAsItSays) {
  prepare(nullptr);
  const auto execute = [&](const std::vector<std::pair<int64_t, void*>>& pointers) {
    return [this, pointers] { return cudnnBackendExecute(handle, plan, done(pack(pointers))); };
  };
  expect_refused(execute({{1, x}, {3, y}}), CUDNN_STATUS_BAD_PARAM, "no pointer for tensor 2");
  expect_refused(execute({{1, x}, {2, nullptr}, {3, y}}), CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the pointer for tensor 2 is null");
  expect_refused(execute({{1, x}, {2, static_cast<char*>(w) + 4}, {3, y}}), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                 "for tensor 2 is not aligned to the 16 bytes");
  expect_refused(execute({{1, x}, {2, w}, {3, x}}), CUDNN_STATUS_BAD_PARAM, "tensor 3 and tensor 1 share memory");
  expect_refused(
      [&] {
        return cudnnBackendExecute(handle, plan, pack({{1, x}, {2, w}, {3, y}}));
      },
      CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a variant pack is not finalized");
  expect_refused(
      [&] {
        return cudnnBackendExecute(nullptr, plan, done(pack({{1, x}})));
      },
      CUDNN_STATUS_BAD_PARAM, "the handle was destroyed");
  expect_refused(
      [&] {
        return cudnnBackendExecute(handle, graph, done(pack({{1, x}})));
      },
      CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "an operation graph was given where an execution plan was expected");
  expect_refused([&] { return cudnnBackendFinalize(pack({{1, x}, {1, w}})); }, CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "tensor 1 twice");
  EXPECT_EQ(corner(nullptr), 0);  // nothing ran
}

TEST_F(EmulatedCudnnForward, WantsAWorkspaceThatIsLargeEnoughAndItsOwn) {
  prepare(nullptr, 1);
  const int64_t bytes = workspace_of(plan);
  ASSERT_GT(bytes, 0);
  expect_refused([&] { return run(); }, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "needs a workspace of 512 bytes and was given none");
  expect_refused([&] { return run(static_cast<char*>(w) + 512); }, CUDNN_STATUS_BAD_PARAM, "the workspace and tensor 2 share memory");
  void* workspace = nullptr;
  ASSERT_EQ(cudaMalloc(&workspace, static_cast<size_t>(bytes) + 16), cudaSuccess);
  expect_refused([&] { return run(static_cast<char*>(workspace) + 4); }, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "is not aligned to 16");
  ASSERT_EQ(run(workspace), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(corner(nullptr), kCorner);
  void* small = nullptr;
  ASSERT_EQ(cudaMalloc(&small, static_cast<size_t>(bytes) / 2), cudaSuccess);
  ASSERT_EQ(run(small), CUDNN_STATUS_SUCCESS);  // its size is known to nobody until it is used
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }),
              HasSubstr("cudnnBackendExecute: the workspace of 512 bytes at byte 0 of an allocation of 256 bytes"));
  EXPECT_EQ(run(workspace), CUDNN_STATUS_EXECUTION_FAILED_CUDART);  // the error sticks
}

TEST_F(EmulatedCudnnForward, FaultsOnMemoryThatIsNotTheDevicesOrWasFreed) {
  prepare(nullptr);
  void* const before = x;
  alignas(16) float host[128] = {};
  x = host;
  ASSERT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("tensor 1 of 512 bytes"));
  start({});
  prepare(nullptr);
  ASSERT_NE(x, before);
  ASSERT_EQ(cudaFree(x), cudaSuccess);
  ASSERT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("that memory was freed"));
}

TEST_F(EmulatedCudnnForward, TellsThatAnOperandWasNeverWritten) {
  start({.detect = {.unwritten = true}});
  prepare(nullptr);
  ASSERT_EQ(cudaMalloc(&x, 512), cudaSuccess);
  ASSERT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure); }),
              HasSubstr("tensor 1 of 512 bytes: byte 0 was never written"));
}

TEST_F(EmulatedCudnnForward, WantsTheHandlesGpuAndStream) {
  start({.gpus = 2});
  prepare(nullptr);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  expect_refused([&] { return run(); }, CUDNN_STATUS_BAD_PARAM, "the handle is of GPU 0, and GPU 1 is the thread's");
  const cudaStream_t elsewhere = make_stream();
  expect_refused([&] { return cudnnSetStream(handle, elsewhere); }, CUDNN_STATUS_BAD_PARAM,
                 "the stream is of GPU 1 and the handle of GPU 0");
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudnnDestroy(handle), CUDNN_STATUS_SUCCESS);
  expect_refused([&] { return run(); }, CUDNN_STATUS_BAD_PARAM, "the handle was destroyed");
}

TEST_F(EmulatedCudnnForward, FailsOnRequest) {
  start({.failures = {{"cudnnBackendExecute", 2, cudaErrorUnknown, "CUDNN_STATUS_EXECUTION_FAILED"}}});
  prepare(nullptr);
  EXPECT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(run(), CUDNN_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(run(), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

// y = relu(conv(x) + residual + bias), rounded once, with the sums of y.
TEST_F(EmulatedCudnnPlan, FusesWhatFollowsAConvolutionAndRoundsOnce) {
  constexpr Shapes z{1, 4, 4, 8, 8, 3, 3, 1, 1, 1};
  const auto half = CUDNN_DATA_HALF;
  const Extents out = extents(z.y()), one = {1, 8, 1, 1};
  const Descriptor sum = tensor({6, out, CUDNN_DATA_FLOAT, true}), with_residual = tensor({7, out, CUDNN_DATA_FLOAT, true}),
                   with_bias = tensor({8, out, CUDNN_DATA_FLOAT, true}), y = tensor({3, out, half});
  const Descriptor conv =
      done(unfinished_operation(Kind::kForward, tensor({1, extents(z.x()), half}), tensor({2, extents(z.weights()), half}), sum,
                                done(unfinished_convolution({1, 1}, {1, 1}, {1, 1}))));
  const Descriptor added = done(pointwise(CUDNN_POINTWISE_ADD, sum, with_residual, tensor({4, out, half})));
  const Descriptor biased = done(pointwise(CUDNN_POINTWISE_ADD, with_residual, with_bias, tensor({5, one, CUDNN_DATA_FLOAT})));
  const Descriptor activated = done(pointwise(CUDNN_POINTWISE_RELU_FWD, with_bias, y));
  const Descriptor sums = make(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  ASSERT_EQ(put(sums, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(put(sums, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(put(sums, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, y), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(put(sums, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, tensor({9, one})), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(put(sums, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, tensor({10, one})), CUDNN_STATUS_SUCCESS);
  const std::vector<float> x = numbers(128, DType::f16, 1), w = numbers(576, DType::f16, 2), residual = numbers(128, DType::f16, 3),
                           bias = numbers(8, DType::f32, 4);
  void* const at[] = {on_device(x, DType::f16),
                      on_device(w, DType::f16),
                      on_device(std::vector<float>(128), DType::f16),
                      on_device(residual, DType::f16),
                      on_device(bias, DType::f32),
                      on_device(std::vector<float>(8), DType::f32),
                      on_device(std::vector<float>(8), DType::f32)};
  const cudnnHandle_t handle = handle_on(nullptr);
  const Descriptor graph = done(graph_of({activated, conv, biased, done(sums), added}));     // in any order
  EXPECT_EQ(cudnnBackendFinalize(unfinished_engine(graph, 1)), CUDNN_STATUS_NOT_SUPPORTED);  // a bias of another type
  const Descriptor plan = done(unfinished_plan(handle, graph, 2));
  ASSERT_EQ(
      cudnnBackendExecute(handle, plan, done(pack({{1, at[0]}, {2, at[1]}, {3, at[2]}, {4, at[3]}, {5, at[4]}, {9, at[5]}, {10, at[6]}}))),
      CUDNN_STATUS_SUCCESS);
  std::vector<float> want = by_reference(z, Kind::kForward, x, w);
  for (size_t i = 0; i < want.size(); ++i) want[i] = std::max(want[i] + residual[i] + bias[i % 8], 0.0f);
  const std::vector<float> got = on_host(at[2], DType::f16, 128);
  expect_rounded(got, want, DType::f16, 72);
  std::vector<float> total(8), squares(8);
  for (size_t i = 0; i < got.size(); ++i) {
    total[i % 8] += got[i];
    squares[i % 8] += got[i] * got[i];
  }
  EXPECT_EQ(on_host(at[5], DType::f32, 8), total);
  EXPECT_EQ(on_host(at[6], DType::f32, 8), squares);
}

// Engines that keep f32 sums agree to the bit; the others differ, as their notes say.
TEST_F(EmulatedCudnnPlan, GivesTheSameBitsByEveryEngineThatKeepsItsPromises) {
  constexpr Shapes z{2, 8, 8, 16, 16, 3, 3, 1, 1, 1};
  const auto result = [&](DType dtype, Kind kind, int64_t engine, unsigned seed) {
    start({.seed = seed});
    void* const at[] = {on_device(numbers(z.x().numel(), dtype, 1), dtype), on_device(numbers(z.weights().numel(), dtype, 2), dtype),
                        on_device(numbers(z.y().numel(), dtype, 3), dtype)};
    const cudnnHandle_t handle = handle_on(nullptr);
    const Descriptor plan = done(unfinished_plan(handle, done(graph_of({operation(z, dtype, kind)})), engine));
    void* workspace = nullptr;
    EXPECT_EQ(cudaMalloc(&workspace, static_cast<size_t>(workspace_of(plan)) + 1), cudaSuccess);
    EXPECT_EQ(cudnnBackendExecute(handle, plan, done(pack({{1, at[0]}, {2, at[1]}, {3, at[2]}}, workspace))), CUDNN_STATUS_SUCCESS);
    const int written = kind == Kind::kForward ? 2 : kind == Kind::kData ? 0 : 1;
    const int64_t count = (written == 2 ? z.y() : written == 0 ? z.x() : z.weights()).numel();
    return on_host(at[written], dtype, count);
  };
  for (const Kind kind : {Kind::kForward, Kind::kData, Kind::kFilter})
    for (const DType dtype : {DType::f16, DType::f32}) EXPECT_EQ(result(dtype, kind, 0, 0), result(dtype, kind, 1, 0));
  EXPECT_NE(result(DType::f16, Kind::kForward, 0, 0), result(DType::f16, Kind::kForward, 4, 0));  // sums in halves
  EXPECT_NE(result(DType::f32, Kind::kForward, 0, 0), result(DType::f32, Kind::kForward, 5, 0));  // TF32
  EXPECT_EQ(result(DType::f32, Kind::kData, 0, 0), result(DType::f32, Kind::kData, 3, 0));
  std::set<std::vector<float>> seen;
  for (unsigned seed = 1; seed <= 8; ++seed) seen.insert(result(DType::f32, Kind::kData, 3, seed));
  EXPECT_GT(seen.size(), 1u);  // in any order
}

}  // namespace
}  // namespace mirilla::emulate
