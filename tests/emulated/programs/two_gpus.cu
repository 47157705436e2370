// SPDX-License-Identifier: MIT
// One program on all GPUs that there are: each has memory and variables of its own.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>

__device__ int mine;

__global__ void set(int value) { mine = value; }
__global__ void get(int* to) { *to = mine; }

int main() {
  int count = 0;
  expect(cudaGetDeviceCount(&count));
  int* places[16];
  for (int gpu = 0; gpu < count; ++gpu) {
    expect(cudaSetDevice(gpu));
    expect(cudaMalloc(&places[gpu], sizeof(int)));
    set<<<1, 1>>>(10 + gpu);
    get<<<1, 1>>>(places[gpu]);
  }
  for (int gpu = 0; gpu < count; ++gpu) {
    cudaDeviceProp properties;
    int found = 0;
    expect(cudaSetDevice(gpu));
    expect(cudaGetDeviceProperties(&properties, gpu));
    expect(cudaMemcpy(&found, places[gpu], sizeof found, cudaMemcpyDeviceToHost));
    expect(found == 10 + gpu);
    std::printf("%d: %s, %d multiprocessors\n", gpu, properties.name, properties.multiProcessorCount);
  }
  if (count > 1) {
    int can = 1, found = 0;
    expect(cudaDeviceCanAccessPeer(&can, 0, 1));
    expect(can == 0);
    expect(cudaMemcpyPeer(places[0], 0, places[1], 1, sizeof(int)));
    expect(cudaMemcpy(&found, places[0], sizeof found, cudaMemcpyDefault));
    expect(found == 11);
  }
  std::puts("two_gpus: passed");
}
