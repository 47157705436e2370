// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/support.h"

namespace mirilla::emulate {
namespace {

using testing::HasSubstr;
using EmulatedStream = Emulated;

TEST_F(EmulatedStream, DoesNothingBeforeSomebodyWaits) {
  unsigned* const x = device_words();
  unsigned* const seen = pinned_words();
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(launch(store(), x, 7, stream), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(seen, x, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_NE(*seen, 7u);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(*seen, 7u);
}

TEST_F(EmulatedStream, ShowsThatAnEventIsMissing) {
  unsigned* const x = device_words();
  const cudaStream_t first = make_stream(), second = make_stream();
  ASSERT_EQ(launch(store(), x, 1, first), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(first), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 2, first), cudaSuccess);
  EXPECT_EQ(word_on(second, x), 1u);  // nothing orders the two streams
  const cudaEvent_t event = make_event();
  ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
  EXPECT_EQ(word_on(second, x), 2u);
}

TEST_F(EmulatedStream, DoesNoMoreThanIsWaitedFor) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream(), other = make_stream();
  const cudaEvent_t event = make_event();
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 2, stream), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(word_on(other, x), 1u);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(word_on(other, x), 2u);
}

TEST_F(EmulatedStream, OrdersTheDefaultStreamWithBlockingStreamsOnly) {
  unsigned* const x = device_words();
  unsigned* const y = device_words();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  ASSERT_EQ(cudaMemset(y, 0, 4), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1, make_stream(cudaStreamDefault)), cudaSuccess);
  ASSERT_EQ(launch(store(), y, 1, make_stream(cudaStreamNonBlocking)), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, x), 1u);
  EXPECT_EQ(word_on(nullptr, y), 0u);
}

TEST_F(EmulatedStream, FinishesTheWorkOfADestroyedStream) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream(), other = make_stream();
  ASSERT_EQ(launch(store(), x, 3, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(word_on(other, x), 3u);
  EXPECT_EQ(launch(store(), x, 3, stream), cudaErrorInvalidResourceHandle);
}

TEST_F(EmulatedStream, AnswersAQueryWithoutWaiting) {
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  const cudaEvent_t event = make_event();
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);  // never recorded
  ASSERT_EQ(launch(store(), x, 3, stream), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  cudaError_t status = cudaErrorNotReady;
  for (int k = 0; k < 100 && status == cudaErrorNotReady; ++k) status = cudaEventQuery(event);
  EXPECT_EQ(status, cudaSuccess);
}

TEST_F(EmulatedStream, WandersBySeedAndKeepsTheOrderOfEvents) {
  std::set<unsigned> seen;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    start({.seed = seed});
    unsigned* const x = device_words();
    ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    const cudaStream_t first = make_stream(), second = make_stream();
    for (unsigned k = 1; k <= 5; ++k) ASSERT_EQ(launch(store(), x, k, first), cudaSuccess);
    seen.insert(word_on(second, x));
    const cudaEvent_t event = make_event();
    ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
    EXPECT_EQ(word_on(second, x), 5u);
  }
  EXPECT_GT(seen.size(), 2u);
}

TEST_F(EmulatedStream, ReadsPageableMemoryAtTheCallAndPinnedMemoryLater) {
  unsigned* const x = device_words();
  unsigned pageable = 1;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMemcpyAsync(x, &pageable, 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
  pageable = 2;
  EXPECT_EQ(word_on(stream, x), 1u);
}

TEST_F(EmulatedStream, TellsThatPinnedMemoryChangedBeforeItsCopyWasDone) {
  unsigned* const x = device_words();
  unsigned* const pinned = pinned_words();
  *pinned = 1;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMemcpyAsync(x, pinned, 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
  *pinned = 2;
  cudaError_t status = cudaSuccess;
  EXPECT_THAT(printed([&] { status = cudaStreamSynchronize(stream); }), HasSubstr("its pinned source was changed"));
  EXPECT_EQ(status, cudaErrorLaunchFailure);
}

TEST_F(EmulatedStream, ShowsRubbishToWhoReadsACopyTooEarlyAndTellsWhoWritesThere) {
  unsigned* const x = device_words();
  unsigned* const pinned = pinned_words();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  *pinned = 0;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMemcpyAsync(pinned, x, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_NE(*pinned, 0u);
  *pinned = 1;
  EXPECT_THAT(printed([&] { cudaStreamSynchronize(stream); }), HasSubstr("its pinned target was written"));
}

TEST_F(EmulatedStream, AllowsCopiesThroughTheSamePinnedMemoryInOrder) {
  unsigned* const x = device_words();
  unsigned* const y = device_words();
  unsigned* const pinned = pinned_words();
  const cudaStream_t stream = make_stream();
  for (unsigned k = 1; k <= 3; ++k) {
    ASSERT_EQ(launch(store(), x, k, stream), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(pinned, x, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(y, pinned, 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
  }
  EXPECT_EQ(word_on(stream, y), 3u);
}

}  // namespace
}  // namespace mirilla::emulate
