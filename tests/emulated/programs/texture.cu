// SPDX-License-Identifier: MIT
// What is refused at the call.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>

int main() {
  const cudaChannelFormatDesc floats = cudaCreateChannelDesc<float>();
  cudaArray_t array = nullptr;
  expect(cudaMallocArray(&array, &floats, 16, 16));
  std::puts("a texture's array was there");
}
