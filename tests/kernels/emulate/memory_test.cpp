// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/support.h"

#include <cstdlib>
#include <cstring>

namespace mirilla::emulate {
namespace {

using testing::HasSubstr;
using EmulatedMemory = Emulated;

cudaMemPool_t pool() {
  cudaMemPool_t made = nullptr;
  EXPECT_EQ(cudaDeviceGetDefaultMemPool(&made, 0), cudaSuccess);
  return made;
}

size_t free_bytes() {
  size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  return free;
}

TEST_F(EmulatedMemory, HasTheSizeOfTheCard) {
  start({.memory_bytes = 1 << 20});
  void* a = nullptr;
  void* b = nullptr;
  EXPECT_EQ(free_bytes(), size_t{1} << 20);
  ASSERT_EQ(cudaMalloc(&a, 3 << 18), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&b, 3 << 18), cudaErrorMemoryAllocation);
  EXPECT_EQ(b, nullptr);
  EXPECT_EQ(free_bytes(), size_t{1} << 18);
  ASSERT_EQ(cudaFree(a), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&b, 3 << 18), cudaSuccess);
}

TEST_F(EmulatedMemory, IsNoLargerThanTheHosts) {
  start({.memory_bytes = size_t{1} << 50});
  void* x = nullptr;
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaMalloc(&x, size_t{1} << 46), cudaErrorMemoryAllocation); }), HasSubstr("the host has only"));
  start({});
}

TEST_F(EmulatedMemory, IsPoisonedWhenItIsFreed) {
  unsigned* const x = device_words();
  ASSERT_EQ(cudaMemset(x, 0, 4), cudaSuccess);
  ASSERT_EQ(cudaFree(x), cudaSuccess);
  EXPECT_EQ(*x, 0xdbdbdbdbu);  // kept mapped for a while
  EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
}

TEST_F(EmulatedMemory, TellsOfAKernelThatUsesFreedMemory) {
  unsigned* const x = device_words();
  ASSERT_EQ(cudaFree(x), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1), cudaSuccess);
  cudaError_t status = cudaSuccess;
  const std::string text = printed([&] { status = cudaDeviceSynchronize(); });
  EXPECT_EQ(status, cudaErrorIllegalAddress);
  EXPECT_THAT(text, HasSubstr("store: an access to freed memory"));
}

TEST_F(EmulatedMemory, TellsOfAKernelThatWritesPastItsEnd) {
  unsigned* const x = device_words(kThreads - 1);
  ASSERT_EQ(launch(store(), x, 1), cudaSuccess);
  EXPECT_THAT(printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("at byte 1020 of an allocation"));
}

TEST_F(EmulatedMemory, ErrorsStickAsOnAGpu) {
  unsigned* const x = device_words(1);
  ASSERT_EQ(launch(store(), x, 1), cudaSuccess);
  printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); });
  void* y = nullptr;
  EXPECT_EQ(cudaMalloc(&y, 4), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(store(), x, 1), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaFree(x), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
}

TEST_F(EmulatedMemory, ForgetsOtherErrorsOnceTheyWereAskedFor) {
  EXPECT_EQ(cudaSetDevice(7), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDevice), "invalid device ordinal");
}

TEST_F(EmulatedMemory, OfAPoolBeginsToExistInTheOrderOfItsStream) {
  void* x = nullptr;
  const cudaStream_t stream = make_stream(), other = make_stream();
  ASSERT_EQ(cudaMallocFromPoolAsync(&x, kThreads * 4, pool(), stream), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  void* y = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&y, kThreads * 4, pool(), stream), cudaSuccess);
  ASSERT_EQ(launch(store(), y, 1, other), cudaSuccess);  // does not wait for the allocation
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaStreamSynchronize(other), cudaErrorIllegalAddress); }), HasSubstr("an access outside of memory"));
}

TEST_F(EmulatedMemory, OfAPoolEndsInTheOrderOfItsStream) {
  void* x = nullptr;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMallocFromPoolAsync(&x, kThreads * 4, pool(), stream), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(x, stream), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress); }), HasSubstr("an access to freed memory"));
}

TEST_F(EmulatedMemory, IsKeptByThePoolAsFarAsItMay) {
  const cudaStream_t stream = make_stream();
  const size_t before = free_bytes();
  const auto use = [&] {
    void* x = nullptr;
    ASSERT_EQ(cudaMallocFromPoolAsync(&x, 1 << 20, pool(), stream), cudaSuccess);
    ASSERT_EQ(cudaFreeAsync(x, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  };
  use();
  EXPECT_EQ(free_bytes(), before);  // the threshold is 0 at first
  ptx::u64 all = UINT64_MAX;
  ASSERT_EQ(cudaMemPoolSetAttribute(pool(), cudaMemPoolAttrReleaseThreshold, &all), cudaSuccess);
  use();
  use();
  EXPECT_EQ(free_bytes(), before - (1 << 20));
  ASSERT_EQ(cudaMemPoolTrimTo(pool(), 0), cudaSuccess);
  EXPECT_EQ(free_bytes(), before);
}

TEST_F(EmulatedMemory, SaysWhatAPointerIs) {
  cudaPointerAttributes attributes;
  int pageable = 0;
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, device_words() + 3), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, pinned_words() + 3), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &pageable), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST_F(EmulatedMemory, RefusesCopiesInAWrongDirectionOrTooLong) {
  unsigned* const x = device_words(4);
  unsigned host[8] = {};
  EXPECT_EQ(cudaMemcpy(host, x, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, host, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x, host, 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x, host, 16, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemset(host, 0, 16), cudaErrorInvalidValue);
}

TEST_F(EmulatedMemory, OfAnotherDeviceIsNotReached) {
  start({.gpus = 2});
  unsigned* const x = device_words();
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(launch(store(), x, 1), cudaSuccess);
  printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); });
  ASSERT_EQ(runtime().devices[0]->broken, cudaSuccess);
}

TEST_F(EmulatedMemory, TellsOfReadsOfWhatNobodyWrote) {
  start({.detect = {.unwritten = true}});
  unsigned* const x = device_words();
  ASSERT_EQ(launch(add(), x, 1), cudaSuccess);
  EXPECT_THAT(printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure); }), HasSubstr("memory that nobody wrote"));
  start({.detect = {.unwritten = true}});
  unsigned* const y = device_words();
  unsigned word = 0;
  EXPECT_THAT(printed([&] { EXPECT_EQ(cudaMemcpy(&word, y, 4, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure); }),
              HasSubstr("to the host: byte 0 was never written"));
}

// The copy is late: where its source was, the program may have other memory by then.
TEST_F(EmulatedMemory, CountsBytesFromTheHostAsWrittenAlsoWhenTheirPlaceBelongsToTheDeviceByNow) {
  constexpr size_t kBytes = size_t{40} << 20, kAlignment = 512;  // so large that the host maps it alone, and where it last was
  start({.detect = {.unwritten = true}});
  unsigned* const x = device_words(kBytes / 4);
  const cudaStream_t stream = make_stream();
  void* const source = std::aligned_alloc(kAlignment, kBytes + kAlignment);  // as the device's memory is allocated
  std::memset(source, 0, kBytes);
  ASSERT_EQ(cudaMemcpyAsync(x, source, kBytes, cudaMemcpyHostToDevice, stream), cudaSuccess);
  std::free(source);
  if (device_words(kBytes / 4) != source) GTEST_SKIP() << "the host's allocator took another place";
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(word_on(stream, x), 0u);  // reads it
}

}  // namespace
}  // namespace mirilla::emulate
