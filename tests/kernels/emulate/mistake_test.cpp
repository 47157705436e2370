// SPDX-License-Identifier: MIT
// Mistakes on request: the stand-in does what a wrong program would do, and notices it as it would notice that.
#include "tests/kernels/emulate/support.h"

namespace mirilla::emulate {
namespace {

using testing::HasSubstr;
using Kind = Mistake::Kind;

class EmulatedMistake : public Emulated {
 protected:
  static void make(Kind kind, const char* call, unsigned number = 1) {
    Settings settings;
    settings.mistakes = {{kind, call, number}};
    start(std::move(settings));
  }
};

TEST_F(EmulatedMistake, LeavesACallOut) {
  make(Kind::kDrop, "cudaStreamWaitEvent", 2);
  unsigned* const x = device_words();
  const cudaStream_t first = make_stream(), second = make_stream();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const cudaEvent_t event = make_event();
  unsigned seen[3] = {};
  for (unsigned k = 1; k <= 3; ++k) {
    ASSERT_EQ(launch(store(), x, k, first), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
    seen[k - 1] = word_on(second, x);
  }
  EXPECT_THAT(seen, testing::ElementsAre(1u, 1u, 3u));
}

TEST_F(EmulatedMistake, LeavesEveryCallOut) {
  make(Kind::kDrop, "cudaLaunchKernel", 0);
  unsigned* const x = device_words();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  for (int k = 0; k < 2; ++k) ASSERT_EQ(launch(store(), x, 5), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, x), 0u);
}

TEST_F(EmulatedMistake, GivesWorkToAStreamThatNobodyWaitsFor) {
  make(Kind::kStray, "cudaLaunchKernel", 2);
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 2, stream), cudaSuccess);
  EXPECT_EQ(word_on(stream, x), 1u);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(word_on(stream, x), 2u);
}

TEST_F(EmulatedMistake, LeavesTheLastByteOut) {
  unsigned* x = nullptr;
  make(Kind::kShort, "cudaMemset", 2);
  x = device_words();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  ASSERT_EQ(cudaMemset(x, 0x11, 4), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, x), 0x00111111u);
  make(Kind::kShort, "cudaMemcpyAsync");
  x = device_words();
  ASSERT_EQ(cudaMemset(x, 0x22, 4), cudaSuccess);
  const unsigned word = 0;
  ASSERT_EQ(cudaMemcpyAsync(x, &word, 4, cudaMemcpyHostToDevice, nullptr), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, x), 0x22000000u);
}

TEST_F(EmulatedMistake, WaitsWhereACaptureForbidsIt) {
  make(Kind::kWait, "cudaLaunchKernel", 2);
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(launch(store(), x, 2, stream), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  make(Kind::kWait, "cudaLaunchKernel");
  unsigned* const y = device_words();
  EXPECT_EQ(launch(store(), y, 3, make_stream()), cudaSuccess);  // outside of captures it only takes time
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(EmulatedMistake, ReleasesMemoryTooEarly) {
  make(Kind::kEarly, "cudaMalloc");
  unsigned* const x = device_words();
  ASSERT_EQ(launch(store(), x, 1), cudaSuccess);
  EXPECT_THAT(printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("an access to freed memory"));
  make(Kind::kEarly, "cudaMallocFromPoolAsync");
  cudaMemPool_t pool = nullptr;
  ASSERT_EQ(cudaDeviceGetDefaultMemPool(&pool, 0), cudaSuccess);
  const cudaStream_t stream = make_stream();
  void* y = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&y, kThreads * 4, pool, stream), cudaSuccess);
  ASSERT_EQ(launch(store(), y, 1, stream), cudaSuccess);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress); }), HasSubstr("an access to freed memory"));
}

Settings with_mistake(const char* value) {
  return read_settings([&](const char* name) { return std::string(std::string_view(name) == "MIRILLA_EMULATE_MISTAKE" ? value : ""); });
}

TEST(EmulateMistakes, AreReadFromTheEnvironment) {
  const Settings settings = with_mistake("drop:cudaStreamWaitEvent:3,short:cudaMemcpyAsync:all");
  ASSERT_EQ(settings.mistakes.size(), 2u);
  EXPECT_EQ(settings.mistakes[0].kind, Kind::kDrop);
  EXPECT_EQ(settings.mistakes[0].call, "cudaStreamWaitEvent");
  EXPECT_EQ(settings.mistakes[0].number, 3u);
  EXPECT_EQ(settings.mistakes[1].kind, Kind::kShort);
  EXPECT_EQ(settings.mistakes[1].number, 0u);
}

TEST(EmulateMistakes, OfWhatALibraryIsGivenAreCountedByItsName) {
  Settings settings = with_mistake("alter:CUDNN_ATTR_TENSOR_STRIDES:2,alter:cublasLtMatmul:all");
  start_over(settings);
  EXPECT_FALSE(runtime().altered("CUDNN_ATTR_TENSOR_STRIDES"));
  EXPECT_FALSE(runtime().altered("CUDNN_ATTR_TENSOR_DIMENSIONS"));
  EXPECT_TRUE(runtime().altered("CUDNN_ATTR_TENSOR_STRIDES"));
  EXPECT_FALSE(runtime().altered("CUDNN_ATTR_TENSOR_STRIDES"));
  EXPECT_TRUE(runtime().altered("cublasLtMatmul"));
  EXPECT_TRUE(runtime().altered("cublasLtMatmul"));
  start_over({});
}

TEST(EmulateMistakes, AreRefusedWithASentence) {
  const auto message = [](const char* value) {
    try {
      with_mistake(value);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message("drop:cudaFree"), HasSubstr("should be KIND:CALL:N"));
  EXPECT_THAT(message("lose:cudaFree:1"), HasSubstr("drop, stray, short, wait, early or alter"));
  EXPECT_THAT(message("drop:cudaMalloc:1"), HasSubstr("with one of these calls: cudaMemcpyAsync "));
  EXPECT_THAT(message("early:cudaFree:1"), HasSubstr("calls: cudaMalloc cudaMallocFromPoolAsync cudaMallocAsync"));
  EXPECT_THAT(message("drop:cudaFree:0"), HasSubstr("a number from 1"));
  EXPECT_THAT(message("alter:CUDNN_ATTR_TENSOR_STRIDE:1"), HasSubstr("calls: CUDNN_ATTR_TENSOR_DIMENSIONS CUDNN_ATTR_TENSOR_STRIDES"));
}

}  // namespace
}  // namespace mirilla::emulate
