// SPDX-License-Identifier: MIT
// Blocks that run together: in the test program of the executor, a kernel is host code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernels/core/error.h"
#include "kernels/cuda/platform/platform.h"

namespace mirilla::simt {
namespace {

using testing::HasSubstr;

// The last block writes, all others wait for it and read.
__global__ void pass_on(int* value, int* seen, unsigned* flag) {
  __shared__ int mine;
  if (threadIdx.x == 0) {
    if (blockIdx.x + 1 == gridDim.x) {
      *value = 42;
      raise_flag(flag);
    } else {
      wait_for_flag(flag);
    }
    mine = *value + static_cast<int>(blockIdx.x);
  }
  __syncthreads();
  seen[blockIdx.x * blockDim.x + threadIdx.x] = mine;
}

__global__ void nobody_raises(unsigned* flag) {
  if (blockIdx.x == 0) return;
  wait_for_flag(flag);
}

__global__ void one_fails(unsigned* flag) {
  if (blockIdx.x == 0) assert(blockIdx.x == 1);
  wait_for_flag(flag);
}

template <auto Kernel, class... Args>
std::string refused(const LaunchShape& shape, Args... args) {
  Stream stream;
  try {
    launch<Kernel>(stream, shape, args...);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(Together, BlocksWaitForAnother) {
  constexpr unsigned kBlocks = 9, kThreads = 33;
  Stream stream;
  for (int turn = 0; turn < 3; ++turn) {
    std::vector<int> seen(kBlocks * kThreads);
    int value = 0;
    unsigned flag = 0;
    launch<pass_on>(stream, {.grid = kBlocks, .block = kThreads, .together = true}, &value, seen.data(), &flag);
    for (unsigned i = 0; i < kBlocks * kThreads; ++i) EXPECT_EQ(seen[i], 42 + static_cast<int>(i / kThreads));
  }
}

TEST(Together, AWaitThatNobodyEndsIsAnErrorAndNotAHang) {
  unsigned flag = 0;
  EXPECT_THAT(refused<nobody_raises>({.grid = 5, .block = 1, .together = true}, &flag), HasSubstr("no block is left that could raise it"));
  EXPECT_THAT(refused<one_fails>({.grid = 5, .block = 1, .together = true}, &flag), HasSubstr("does not hold"));
  EXPECT_THAT(refused<nobody_raises>({.grid = 2, .block = 1}, &flag), HasSubstr("do not run together"));
}

TEST(Together, AGridThatIsNotResidentIsRefused) {
  unsigned flag = 0;
  const int multiprocessors = facts().multiprocessors;
  EXPECT_THAT(refused<nobody_raises>({.grid = static_cast<unsigned>(2 * multiprocessors + 1), .block = 1024, .together = true}, &flag),
              HasSubstr(fmt::format("{} blocks are to run at the same time and {} can", 2 * multiprocessors + 1, 2 * multiprocessors)));
  EXPECT_THAT(refused<nobody_raises>(
                  {.grid = static_cast<unsigned>(multiprocessors + 1), .block = 1, .shared_bytes = 120 * 1024, .together = true}, &flag),
              HasSubstr("can"));
}

}  // namespace
}  // namespace mirilla::simt
