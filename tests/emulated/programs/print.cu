// SPDX-License-Identifier: MIT
// printf in a kernel; nvcc_test.py knows the text.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>

__global__ void print(const char* word) {
  if (threadIdx.x != 0) return;
  printf("%d %5d|%-5d|%05d %+d %u %x %#X %o\n", -3, 42, 42, 42, 7, 4000000000u, 255, 255, 8);
  printf("%lld %llu %ld %hd %c%c %%\n", -5000000000ll, 18000000000000000000ull, 1234567890123l, static_cast<short>(-2), 'o', 'k');
  printf("%f %.3f %8.2f %e %g %.*f\n", 1.5f, 2.0 / 3.0, -1.25, 12345.678, 1e-10, 2, 3.14159);
  printf("%s %10s|%-6s|%.2s\n", word, "right", "left", "cut");
}

int main() {
  char* word = nullptr;
  expect(cudaMallocManaged(&word, 8));
  snprintf(word, 8, "shared");
  print<<<1, 32>>>(word);
  expect(cudaDeviceSynchronize());
}
