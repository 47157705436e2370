// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/support.h"

#include <thread>

namespace mirilla::emulate {
namespace {

using testing::HasSubstr;

class EmulatedGraph : public Emulated {
 protected:
  /// Captures what f does with the stream.
  static cudaGraphExec_t captured(cudaStream_t stream, const std::function<void()>& f) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    f();
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return exec;
  }
  static cudaError_t end(cudaStream_t stream) {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream, &graph);
    EXPECT_EQ(graph != nullptr, status == cudaSuccess);
    return status;
  }
  static cudaMemPool_t pool() {
    cudaMemPool_t made = nullptr;
    EXPECT_EQ(cudaDeviceGetDefaultMemPool(&made, 0), cudaSuccess);
    return made;
  }
};

TEST_F(EmulatedGraph, RecordsWithoutRunningAndReplaysTheAddressesItBaked) {
  unsigned* x = device_words();
  unsigned* const y = device_words();
  ASSERT_EQ(cudaMemset(x, 0, kThreads * 4), cudaSuccess);
  ASSERT_EQ(cudaMemset(y, 0, kThreads * 4), cudaSuccess);
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  unsigned n = 2;
  unsigned* const baked = x;
  const cudaGraphExec_t exec = captured(stream, [&] { EXPECT_EQ(launch(add(), x, n, stream), cudaSuccess); });
  EXPECT_EQ(word_on(stream, baked), 0u);
  x = y;
  n = 100;
  for (int k = 0; k < 3; ++k) ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(word_on(stream, baked), 6u);
  EXPECT_EQ(word_on(stream, y), 0u);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
}

TEST_F(EmulatedGraph, TellsOfABakedAddressThatWasFreed) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  const cudaGraphExec_t exec = captured(stream, [&] { EXPECT_EQ(launch(store(), x, 1, stream), cudaSuccess); });
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  ASSERT_EQ(cudaFree(x), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress); }), HasSubstr("freed memory"));
}

TEST_F(EmulatedGraph, HasMemoryOfItsOwn) {
  unsigned* const y = device_words();
  const cudaStream_t stream = make_stream();
  void* x = nullptr;
  const cudaGraphExec_t exec = captured(stream, [&] {
    EXPECT_EQ(cudaMallocFromPoolAsync(&x, kThreads * 4, pool(), stream), cudaSuccess);
    EXPECT_EQ(launch(store(), x, 5, stream), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(y, x, 4, cudaMemcpyDeviceToDevice, stream), cudaSuccess);
    EXPECT_EQ(cudaFreeAsync(x, stream), cudaSuccess);
  });
  for (int k = 0; k < 2; ++k) {
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(word_on(stream, y), 5u);
    ASSERT_EQ(cudaMemset(y, 0, 4), cudaSuccess);
  }
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);  // outside of the graph its memory does not exist
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress); }), HasSubstr("freed memory"));
}

TEST_F(EmulatedGraph, GivesItsMemoryBackWithTheLastOwner) {
  size_t before = 0, now = 0, total = 0;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  const cudaGraphExec_t exec = captured(stream, [&] {
    void* x = nullptr;
    EXPECT_EQ(cudaMallocFromPoolAsync(&x, 1 << 20, pool(), stream), cudaSuccess);
    EXPECT_EQ(cudaFreeAsync(x, stream), cudaSuccess);
  });
  ASSERT_EQ(cudaMemGetInfo(&now, &total), cudaSuccess);
  EXPECT_EQ(now, before - (1 << 20));
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&now, &total), cudaSuccess);
  EXPECT_EQ(now, before);
}

TEST_F(EmulatedGraph, IsNotLaunchedAgainWhileItsMemoryIsNotFreed) {
  const cudaStream_t stream = make_stream();
  const cudaGraphExec_t exec = captured(stream, [&] {
    void* x = nullptr;
    EXPECT_EQ(cudaMallocFromPoolAsync(&x, 64, pool(), stream), cudaSuccess);
  });
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
}

TEST_F(EmulatedGraph, DoesNotReleaseWhatItDidNotAllocate) {
  void* x = nullptr;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMallocFromPoolAsync(&x, 64, pool(), stream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(x, stream), cudaErrorInvalidValue);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(EmulatedGraph, CannotBeWaitedForWhileItIsCaptured) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  const std::function<cudaError_t()> waits[] = {[&] { return cudaStreamSynchronize(stream); }, [&] { return cudaStreamQuery(stream); },
                                                [] { return cudaDeviceSynchronize(); }};
  for (const auto& wait : waits) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(wait(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(launch(store(), x, 1, stream), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
  }
}

TEST_F(EmulatedGraph, ForbidsUnsafeCallsUnlessItIsRelaxed) {
  const cudaStream_t stream = make_stream();
  void* x = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&x, 64), cudaSuccess);
  EXPECT_EQ(end(stream), cudaSuccess);

  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  std::thread([&] { EXPECT_EQ(cudaMalloc(&x, 64), cudaSuccess); }).join();
  EXPECT_EQ(cudaMalloc(&x, 64), cudaErrorStreamCaptureUnsupported);
  std::thread([&] { EXPECT_EQ(end(stream), cudaErrorStreamCaptureWrongThread); }).join();
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);

  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  std::thread([&] { EXPECT_EQ(cudaMalloc(&x, 64), cudaErrorStreamCaptureUnsupported); }).join();
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(EmulatedGraph, DoesNotWaitForAnEventOfOutside) {
  const cudaStream_t stream = make_stream(), other = make_stream();
  const cudaEvent_t event = make_event();
  ASSERT_EQ(cudaEventRecord(event, other), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream, event, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(EmulatedGraph, RefusesTheDefaultStreamWhileABlockingStreamCaptures) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream(cudaStreamDefault);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(launch(store(), x, 1, nullptr), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(EmulatedGraph, TakesOtherStreamsInAndWantsThemBack) {
  unsigned* const x = device_words();
  ASSERT_EQ(cudaMemset(x, 0, kThreads * 4), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const cudaStream_t stream = make_stream(), other = make_stream();
  const cudaEvent_t fork = make_event(), back = make_event();
  for (const bool joins : {true, false}) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(fork, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    EXPECT_EQ(launch(add(), x, 1, other), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(back, other), cudaSuccess);
    if (joins) {
      EXPECT_EQ(cudaStreamWaitEvent(stream, back, 0), cudaSuccess);
    }
    EXPECT_EQ(end(stream), joins ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
  }
  EXPECT_EQ(word_on(other, x), 0u);
}

TEST_F(EmulatedGraph, RefusesToWaitForAnEventThatItRecorded) {
  const cudaStream_t stream = make_stream();
  const cudaEvent_t event = make_event();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorCapturedEvent);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(EmulatedGraph, RecordsAnExternalEventAtEachLaunch) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream(), other = make_stream();
  const cudaEvent_t event = make_event();
  const cudaGraphExec_t exec = captured(stream, [&] {
    EXPECT_EQ(launch(store(), x, 9, stream), cudaSuccess);
    EXPECT_EQ(cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal), cudaSuccess);
  });
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  ASSERT_EQ(cudaStreamWaitEvent(other, event, 0), cudaSuccess);
  EXPECT_EQ(word_on(other, x), 9u);
  EXPECT_EQ(cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal), cudaErrorIllegalState);
}

TEST_F(EmulatedGraph, ReadsPinnedMemoryWhenItRuns) {
  unsigned* const x = device_words();
  unsigned* const pinned = pinned_words();
  const cudaStream_t stream = make_stream();
  const cudaGraphExec_t exec =
      captured(stream, [&] { EXPECT_EQ(cudaMemcpyAsync(x, pinned, 4, cudaMemcpyHostToDevice, stream), cudaSuccess); });
  for (unsigned k = 1; k <= 2; ++k) {
    *pinned = k;
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(word_on(stream, x), k);
  }
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  *pinned = 3;  // too early
  EXPECT_THAT(printed([&] { cudaStreamSynchronize(stream); }), HasSubstr("its pinned source was changed"));
}

}  // namespace
}  // namespace mirilla::emulate
