// SPDX-License-Identifier: MIT
// What the executor refuses: each message names the kernel, the block and the thread.
#include <gmock/gmock.h>

#include "tests/kernels/simt/support.h"

namespace mirilla::simt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

__global__ void fill_ones(int* x, int n) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] = 1;
}

// Expects that the executor works as before after an error.
void expect_well() {
  const Array<int> x(100, 0);
  Stream stream;
  launch<fill_ones>(stream, {2, 64}, x.data(), 100);
  EXPECT_EQ(x.values(), std::vector<int>(100, 1));
}

template <auto Kernel, class... Args>
std::string refused(const LaunchShape& shape, Args... args) {
  Stream stream;
  const std::string message = error_of([&] { launch<Kernel>(stream, shape, args...); });
  expect_well();
  return message;
}

__global__ void two_barriers(int) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
TEST(SimtRefuses, BarriersThatDiverge) {
  EXPECT_THAT(refused<two_barriers>({3, 64}, 0),
              AllOf(HasSubstr("two_barriers, block ("), HasSubstr("the barriers diverge"), HasSubstr("refuse_test.cpp:")));
}

__global__ void early_return(int) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
TEST(SimtRefuses, AThreadThatEndsWhileOthersWaitAtABarrier) {
  EXPECT_THAT(refused<early_return>({1, 64}, 0),
              AllOf(HasSubstr("early_return, block (0,0,0), thread (0,0,0)"), HasSubstr("thread 5 has ended without it")));
}

__global__ void kinds(int) {
  if (threadIdx.x == 0)
    __syncthreads_or(1);
  else
    __syncthreads_and(1);
}
TEST(SimtRefuses, BarriersOfTwoKinds) { EXPECT_THAT(refused<kinds>({1, 2}, 0), HasSubstr("the barriers diverge")); }

__global__ void lane_gone(int) {
  if (threadIdx.x == 3) return;
  __shfl_sync(0xffffffffu, 1, 0);
}
TEST(SimtRefuses, AWarpFunctionWithoutALaneOfItsMask) {
  EXPECT_THAT(refused<lane_gone>({1, 32}, 0),
              AllOf(HasSubstr("lane_gone, block (0,0,0), thread ("), HasSubstr("lane 3"), HasSubstr("has ended")));
}

__global__ void not_in_mask(int) { __ballot_sync(0xfffffffeu, 1); }
TEST(SimtRefuses, ACallerOutsideTheMask) { EXPECT_THAT(refused<not_in_mask>({1, 32}, 0), HasSubstr("without itself")); }

__global__ void full_mask(int) { __syncwarp(); }
TEST(SimtRefuses, AMaskBeyondTheBlock) { EXPECT_THAT(refused<full_mask>({1, 20}, 0), HasSubstr("the block has 20 threads")); }

__global__ void shuffle_or_vote(int) {
  if (threadIdx.x % 2 == 0)
    __shfl_xor_sync(0xffffffffu, 1, 2);
  else
    __any_sync(0xffffffffu, 1);
}
TEST(SimtRefuses, TwoWarpFunctionsAtOnce) { EXPECT_THAT(refused<shuffle_or_vote>({1, 32}, 0), HasSubstr("the warp diverges")); }

__global__ void barrier_or_vote(int) {
  if (threadIdx.x == 0) __syncthreads();
  __any_sync(0xffffffffu, 1);
}
TEST(SimtRefuses, AWarpFunctionWhileALaneWaitsAtABarrier) {
  EXPECT_THAT(refused<barrier_or_vote>({1, 32}, 0), HasSubstr("waits at the barrier"));
}

__global__ void outside_shuffle(int) {
  if (threadIdx.x < 16) __shfl_sync(0x0000ffffu, 1, 20);
}
TEST(SimtRefuses, AShuffleFromOutsideTheMask) {
  EXPECT_THAT(refused<outside_shuffle>({1, 32}, 0), HasSubstr("reads a lane that is not in its mask"));
}

__global__ void misaligned(const float* x, float4* y) {
  if (threadIdx.x == 2) y[0] = *assume_aligned(reinterpret_cast<const float4*>(x + 1));
}
TEST(SimtRefuses, AVectorAccessAtAWrongAddress) {
  const Array<float> x(16, 0.0f);
  const Array<float4> y(1);
  EXPECT_THAT(refused<misaligned>({2, 4}, x.data(), y.data()), AllOf(HasSubstr("misaligned, block ("), HasSubstr("thread (2,0,0)"),
                                                                     HasSubstr("an access of 16 bytes at an address that leaves 4 over")));
}

__global__ void asserting(int limit) { assert(static_cast<int>(threadIdx.x) < limit); }
TEST(SimtRefuses, AnAssertionThatDoesNotHold) {
  EXPECT_THAT(refused<asserting>({dim3(1, 2), dim3(4, 2)}, 3),
              AllOf(HasSubstr("asserting, block (0,"), HasSubstr("thread (3,"), HasSubstr("'static_cast<int>(threadIdx.x) < limit'")));
}

TEST(SimtRefuses, LaunchesThatNoGpuTakes) {
  const Array<int> x(1);
  EXPECT_THAT(refused<fill_ones>({1, 1025}, x.data(), 0), AllOf(HasSubstr("fill_ones"), HasSubstr("a block of (1025,1,1) threads")));
  EXPECT_THAT(refused<fill_ones>({1, dim3(1, 1, 65)}, x.data(), 0), HasSubstr("a block of (1,1,65) threads"));
  EXPECT_THAT(refused<fill_ones>({0, 32}, x.data(), 0), HasSubstr("a grid of (0,1,1) blocks"));
  EXPECT_THAT(refused<fill_ones>({dim3(1, 65536), 32}, x.data(), 0), HasSubstr("a grid of (1,65536,1) blocks"));
  EXPECT_THAT(refused<fill_ones>({1, 32, 227 * 1024 + 1}, x.data(), 0), HasSubstr("232449 bytes of dynamic shared memory"));
  EXPECT_EQ(refused<fill_ones>({1, 1024, 227 * 1024}, x.data(), 0), "");
}

__global__ void launcher(int) {
  Stream stream;
  launch<full_mask>(stream, {1, 32}, 0);
}
TEST(SimtRefuses, AKernelThatLaunchesAnother) { EXPECT_THAT(refused<launcher>({1, 1}, 0), HasSubstr("launched from within launcher")); }

TEST(SimtRefuses, ABarrierOutsideAKernel) {
  EXPECT_THAT(error_of([] { __syncthreads(); }), HasSubstr("outside a kernel"));
}

TEST(SimtRefuses, CopiesThatLeaveTheirAllocation) {
  const Array<char> x(10);
  char host[11] = {};
  Stream stream;
  EXPECT_THAT(error_of([&] { stream.copy_from_host(x.data(), host, 11); }), HasSubstr("a copy from the host of 11 bytes"));
  EXPECT_THAT(error_of([&] { stream.copy_to_host(host, x.data() + 1, 10); }), HasSubstr("a copy to the host of 10 bytes"));
  EXPECT_THAT(error_of([&] { stream.fill_bytes(host, 0, 1); }), HasSubstr("a fill of 1 bytes"));
  EXPECT_EQ(error_of([&] { stream.copy_from_host(x.data() + 1, host, 9); }), "");
}

__global__ void past_shared(int) { dynamic_shared<int>()[4 + threadIdx.x] = 1; }

#if defined(__SANITIZE_ADDRESS__)  // which stops at the access itself
TEST(SimtRefusesDeathTest, WritesBesideAnAllocation) {
  const Array<int> x(3, 0);
  EXPECT_DEATH(refused<fill_ones>({1, 32}, x.data(), 4), "use-after-poison");
  EXPECT_DEATH(refused<fill_ones>({1, 32}, x.data() - 1, 1), "use-after-poison");
}
TEST(SimtRefusesDeathTest, WritesPastDynamicSharedMemory) {
  EXPECT_DEATH(refused<past_shared>({1, 1, 4 * sizeof(int)}, 0), "use-after-poison");
}
#else
TEST(SimtRefuses, WritesBesideAnAllocation) {
  const Array<int> x(3, 0);
  EXPECT_THAT(refused<fill_ones>({1, 32}, x.data(), 4),
              AllOf(HasSubstr("fill_ones"), HasSubstr("0 bytes past the end of an allocation of 12 bytes")));
  EXPECT_THAT(refused<fill_ones>({1, 32}, x.data() - 1, 1), HasSubstr("before the start of an allocation of 12 bytes"));
}
TEST(SimtRefuses, WritesPastDynamicSharedMemory) {
  EXPECT_THAT(refused<past_shared>({1, 1, 4 * sizeof(int)}, 0), AllOf(HasSubstr("past_shared, block (0,0,0)"), HasSubstr("shared memory")));
}
#endif

TEST(SimtMemory, IsFullOfNanWhenItIsNew) {
  const Array<float> x(33);
  for (float value : x.values()) EXPECT_TRUE(std::isnan(value));
}

// An error in one block stops the grid, whichever host thread ran it.
__global__ void one_bad_block(int* ran) {
  atomicAdd(ran, 1);
  assert(blockIdx.x != 3);
  __syncthreads();
}
TEST(SimtRefuses, AGridOfWhichOneBlockFails) {
  const Array<int> ran(1, 0);
  EXPECT_THAT(refused<one_bad_block>({1000, 8}, ran.data()), HasSubstr("one_bad_block, block (3,0,0), thread (0,0,0)"));
  EXPECT_LT(ran[0], 8000);
}

}  // namespace
}  // namespace mirilla::simt
