// SPDX-License-Identifier: MIT
// What does not link.
#include <cuda.h>
#include <cuda_runtime.h>

__global__ void nothing() {}

int main() {
  nothing<<<1, 1>>>();
  return cuInit(0);
}
