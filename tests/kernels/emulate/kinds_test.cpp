// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/support.h"

#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

// Memory of kinds that only other people's programs use, and copies of rows.

namespace mirilla::emulate {
namespace {

using testing::Each;
using testing::HasSubstr;

class EmulatedKinds : public Emulated {
 protected:
  static unsigned* managed_words(size_t count = kThreads) {
    void* address = nullptr;
    EXPECT_EQ(cudaMallocManaged(&address, count * 4, cudaMemAttachGlobal), cudaSuccess);
    return static_cast<unsigned*>(address);
  }
};

TEST_F(EmulatedKinds, ManagedMemoryIsForBothAndChangesWhenSomebodyWaits) {
  unsigned* const x = managed_words();
  std::fill_n(x, kThreads, 1u);
  ASSERT_EQ(launch(add(), x, 6), cudaSuccess);
  EXPECT_EQ(x[5], 1u);  // the kernel has not run
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(x[5], 7u);
  cudaPointerAttributes attributes{};
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, x + 3), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeManaged);
  EXPECT_EQ(attributes.hostPointer, x + 3);
  EXPECT_EQ(cudaMemPrefetchAsync(x, 4, {cudaMemLocationTypeDevice, 0}, 0, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMemPrefetchAsync(x, 4, {cudaMemLocationTypeDevice, 7}, 0, nullptr), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaMemAdvise(x, kThreads * 4 + 1, cudaMemAdviseSetReadMostly, {cudaMemLocationTypeDevice, 0}), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(x), cudaErrorInvalidValue);
  ASSERT_EQ(cudaFree(x), cudaSuccess);
  ASSERT_EQ(launch(add(), x, 1), cudaSuccess);
  EXPECT_THAT(printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("freed memory"));
}

TEST_F(EmulatedKinds, ManagedMemoryTakesPartInCopiesAsEitherSide) {
  unsigned* const x = managed_words(4);
  const std::array<unsigned, 4> from{1, 2, 3, 4};
  std::array<unsigned, 4> back{};
  ASSERT_EQ(cudaMemcpy(x, from.data(), 16, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(back.data(), x, 16, cudaMemcpyHostToHost), cudaSuccess);
  EXPECT_EQ(back, from);
  ASSERT_EQ(cudaMemset(x, 0, 16), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(x[3], 0u);
}

TEST_F(EmulatedKinds, RegisteredMemoryIsTheProgramsOwn) {
  std::vector<unsigned> own(kThreads, 2);
  EXPECT_EQ(cudaHostUnregister(own.data()), cudaErrorHostMemoryNotRegistered);
  ASSERT_EQ(cudaHostRegister(own.data(), kThreads * 4, cudaHostRegisterMapped), cudaSuccess);
  EXPECT_EQ(cudaHostRegister(own.data() + 1, 4, cudaHostRegisterDefault), cudaErrorHostMemoryAlreadyRegistered);
  void* mapped = nullptr;
  ASSERT_EQ(cudaHostGetDevicePointer(&mapped, own.data(), 0), cudaSuccess);
  ASSERT_EQ(launch(add(), mapped, 3), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(own.data()), cudaErrorInvalidValue);
  ASSERT_EQ(cudaHostUnregister(own.data()), cudaSuccess);  // waits
  EXPECT_THAT(own, Each(5u));
  ASSERT_EQ(launch(add(), own.data(), 3), cudaSuccess);
  EXPECT_THAT(printed([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress); }), HasSubstr("emulated GPU: "));
}

TEST_F(EmulatedKinds, MappedPointersAreOnlyOfHostMemory) {
  unsigned* const device = device_words();
  void* mapped = nullptr;
  EXPECT_EQ(cudaHostGetDevicePointer(&mapped, device, 0), cudaErrorInvalidValue);
  unsigned* const pinned = pinned_words();
  EXPECT_EQ(cudaHostGetDevicePointer(&mapped, pinned + 2, 1), cudaErrorInvalidValue);
  ASSERT_EQ(cudaHostGetDevicePointer(&mapped, pinned + 2, 0), cudaSuccess);
  EXPECT_EQ(mapped, pinned + 2);
  unsigned flags = 0;
  ASSERT_EQ(cudaHostGetFlags(&flags, pinned), cudaSuccess);
  EXPECT_EQ(flags, unsigned{cudaHostAllocPortable | cudaHostAllocMapped});
}

// A plane of 3 rows of 5 bytes in rows of 8, and of 7 on the other side.
TEST_F(EmulatedKinds, CopiesAndFillsRows) {
  void* device = nullptr;
  size_t pitch = 0;
  ASSERT_EQ(cudaMallocPitch(&device, &pitch, 5, 3), cudaSuccess);
  EXPECT_GE(pitch, 5u);
  ASSERT_EQ(cudaMemset2D(device, pitch, 9, 5, 3), cudaSuccess);
  std::array<char, 21> from{}, back{};
  std::iota(from.begin(), from.end(), char{0});
  ASSERT_EQ(cudaMemcpy2D(device, pitch, from.data(), 7, 4, 2, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaMemcpy2D(back.data(), 7, device, pitch, 5, 3, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(back, (std::array<char, 21>{0, 1, 2, 3, 9, 0, 0, 7, 8, 9, 10, 9, 0, 0, 9, 9, 9, 9, 9, 0, 0}));
  EXPECT_EQ(cudaMemcpy2D(device, 3, from.data(), 7, 4, 2, cudaMemcpyHostToDevice), cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaMemcpy2D(device, pitch, from.data(), 7, 4, 2, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset2D(device, pitch, 0, 5, 9), cudaErrorInvalidValue);
}

TEST_F(EmulatedKinds, CopiesPartsOfVolumes) {
  cudaPitchedPtr volume{};
  ASSERT_EQ(cudaMalloc3D(&volume, {4, 3, 2}), cudaSuccess);
  EXPECT_EQ(volume.ysize, 3u);
  ASSERT_EQ(cudaMemset3D(volume, 1, {4, 3, 2}), cudaSuccess);
  std::array<char, 4> from{5, 6, 7, 8};
  cudaMemcpy3DParms in{};
  in.srcPtr = {from.data(), 2, 2, 1};  // two planes of one row of two bytes
  in.dstPtr = volume;
  in.dstPos = {1, 2, 0};
  in.extent = {2, 1, 2};
  in.kind = cudaMemcpyHostToDevice;
  ASSERT_EQ(cudaMemcpy3D(&in), cudaSuccess);
  std::array<char, 24> back{};
  cudaMemcpy3DParms out{};
  out.srcPtr = volume;
  out.dstPtr = {back.data(), 4, 4, 3};
  out.extent = {4, 3, 2};
  out.kind = cudaMemcpyDeviceToHost;
  ASSERT_EQ(cudaMemcpy3D(&out), cudaSuccess);
  EXPECT_EQ(back, (std::array<char, 24>{1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 8, 1}));
}

TEST_F(EmulatedKinds, CopiesBetweenTwoGpus) {
  start({.gpus = 2});
  unsigned* const first = device_words();
  ASSERT_EQ(cudaMemset(first, 1, 16), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  unsigned* const second = device_words();
  ASSERT_EQ(cudaMemset(second, 2, 16), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaMemcpyPeer(first, 0, second, 2, 8), cudaErrorInvalidDevice);
  ASSERT_EQ(cudaMemcpyPeer(first, 0, second, 1, 8), cudaSuccess);
  std::array<unsigned, 4> back{};
  ASSERT_EQ(cudaMemcpy(back.data(), first, 16, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(back, (std::array<unsigned, 4>{0x02020202, 0x02020202, 0x01010101, 0x01010101}));
  int can = 1;
  ASSERT_EQ(cudaDeviceCanAccessPeer(&can, 0, 1), cudaSuccess);
  EXPECT_EQ(can, 0);
}

TEST_F(EmulatedKinds, PoolsOfTheProgramAreOfADevice) {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 3};
  cudaMemPool_t pool = nullptr;
  EXPECT_EQ(cudaMemPoolCreate(&pool, &properties), cudaErrorInvalidDevice);
  properties.location.id = 0;
  ASSERT_EQ(cudaMemPoolCreate(&pool, &properties), cudaSuccess);
  void* address = nullptr;
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMallocFromPoolAsync(&address, 64, pool, stream), cudaSuccess);
  ptx::u64 used = 0;
  ASSERT_EQ(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used), cudaSuccess);
  EXPECT_EQ(used, 64u);
  ASSERT_EQ(cudaFreeAsync(address, stream), cudaSuccess);
  ASSERT_EQ(cudaDeviceSetMemPool(0, pool), cudaSuccess);
  cudaMemPool_t current = nullptr;
  ASSERT_EQ(cudaDeviceGetMemPool(&current, 0), cudaSuccess);
  EXPECT_EQ(current, pool);
  ASSERT_EQ(cudaMemPoolDestroy(pool), cudaSuccess);
  EXPECT_EQ(cudaMallocFromPoolAsync(&address, 64, pool, stream), cudaErrorInvalidValue);
}

TEST_F(EmulatedKinds, HostFunctionsRunInTheStreamsOrder) {
  unsigned* const x = device_words();
  unsigned* const pinned = pinned_words();
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaMemsetAsync(x, 0, kThreads * 4, stream), cudaSuccess);
  ASSERT_EQ(launch(add(), x, 4, stream), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned, x, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  static std::atomic<unsigned> seen{0};
  seen = 0;
  ASSERT_EQ(cudaLaunchHostFunc(
                stream, [](void* data) { seen = *static_cast<unsigned*>(data); }, pinned),
            cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(seen, 4u);
  ASSERT_EQ(cudaStreamAddCallback(
                stream, [](cudaStream_t, cudaError_t, void*) { seen = 9; }, nullptr, 0),
            cudaSuccess);
  for (int k = 0; k < 2000 && seen != 9; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // and without any call
  EXPECT_EQ(seen, 9u);
  EXPECT_EQ(cudaLaunchHostFunc(stream, nullptr, nullptr), cudaErrorInvalidValue);
}

TEST_F(EmulatedKinds, EachThreadHasAStreamOfItsOwn) {
  unsigned* const x = device_words();
  ASSERT_EQ(cudaMemset(x, 0, kThreads * 4), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  ASSERT_EQ(launch(add(), x, 1, cudaStreamPerThread), cudaSuccess);
  std::thread([] { EXPECT_EQ(cudaStreamQuery(cudaStreamPerThread), cudaSuccess); }).join();
  EXPECT_EQ(cudaStreamQuery(cudaStreamPerThread), cudaErrorNotReady);
  EXPECT_EQ(word_on(cudaStreamPerThread, x), 1u);
}

TEST_F(EmulatedKinds, PrioritiesAreKeptInTheirRange) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, -100), cudaSuccess);
  int priority = 1, least = 1, greatest = 1;
  ASSERT_EQ(cudaStreamGetPriority(stream, &priority), cudaSuccess);
  ASSERT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
  EXPECT_EQ(priority, greatest);
  unsigned flags = 0;
  ASSERT_EQ(cudaStreamGetFlags(stream, &flags), cudaSuccess);
  EXPECT_EQ(flags, unsigned{cudaStreamNonBlocking});
  int gpu = -1;
  ASSERT_EQ(cudaStreamGetDevice(stream, &gpu), cudaSuccess);
  EXPECT_EQ(gpu, 0);
  unsigned long long one = 0, other = 0;
  ASSERT_EQ(cudaStreamGetId(stream, &one), cudaSuccess);
  ASSERT_EQ(cudaStreamGetId(make_stream(), &other), cudaSuccess);
  EXPECT_NE(one, other);
  std::array<char, 16> bus{};
  ASSERT_EQ(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), 0), cudaSuccess);
  ASSERT_EQ(cudaDeviceGetByPCIBusId(&gpu, bus.data()), cudaSuccess);
  EXPECT_EQ(gpu, 0);
  EXPECT_EQ(cudaDeviceGetByPCIBusId(&gpu, "0000:00:01.0"), cudaErrorInvalidDevice);
}

}  // namespace
}  // namespace mirilla::emulate
