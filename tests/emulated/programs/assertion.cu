// SPDX-License-Identifier: MIT
// An assertion of a kernel that fails.
#include "tests/emulated/programs/check.h"

#include <cassert>

__global__ void check() { assert(threadIdx.x < 3); }

int main() {
  check<<<1, 3>>>();
  expect(cudaDeviceSynchronize());
  check<<<1, 4>>>();
  expect(cudaDeviceSynchronize() == cudaErrorAssert);
  expect(cudaGetLastError() == cudaErrorAssert);  // it sticks
  std::puts("assertion: passed");
}
