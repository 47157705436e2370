// SPDX-License-Identifier: MIT
// Streams, events, host functions and callbacks.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

__global__ void add(int* x, int n, int value) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) x[i] += value;
}

static std::atomic<int> told{0};

static void halves() {
  constexpr int n = 10000;
  int *host = nullptr, *device = nullptr;
  expect(cudaMallocHost(&host, n * sizeof(int)));
  expect(cudaMalloc(&device, n * sizeof(int)));
  for (int i = 0; i < n; ++i) host[i] = i;
  cudaStream_t streams[2];
  int least = 1, greatest = 1, priority = 1;
  expect(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  expect(least == 0 && greatest < 0);
  expect(cudaStreamCreateWithPriority(&streams[0], cudaStreamNonBlocking, greatest));
  expect(cudaStreamGetPriority(streams[0], &priority));
  expect(priority == greatest);
  expect(cudaStreamCreate(&streams[1]));
  cudaEvent_t start, end;
  expect(cudaEventCreate(&start));
  expect(cudaEventCreate(&end));
  expect(cudaEventRecord(start));
  for (int half = 0; half < 2; ++half) {
    int* const at = device + half * n / 2;
    expect(cudaMemcpyAsync(at, host + half * n / 2, n / 2 * sizeof(int), cudaMemcpyHostToDevice, streams[half]));
    add<<<4, 128, 0, streams[half]>>>(at, n / 2, 7 + half);
    expect(cudaMemcpyAsync(host + half * n / 2, at, n / 2 * sizeof(int), cudaMemcpyDeviceToHost, streams[half]));
  }
  expect(cudaDeviceSynchronize());
  expect(cudaEventRecord(end));
  expect(cudaEventSynchronize(end));
  float milliseconds = -1;
  expect(cudaEventElapsedTime(&milliseconds, start, end));
  expect(milliseconds >= 0);
  for (int i = 0; i < n; ++i) expect(host[i] == i + 7 + (i >= n / 2));
  expect(cudaFree(device));
  expect(cudaFreeHost(host));
}

static void host_functions() {
  int* device = nullptr;
  expect(cudaMalloc(&device, sizeof(int)));
  expect(cudaMemset(device, 0, sizeof(int)));
  static int seen = -1;
  add<<<1, 1, 0, cudaStreamPerThread>>>(device, 1, 5);
  expect(cudaMemcpyAsync(&seen, device, sizeof(int), cudaMemcpyDeviceToHost, cudaStreamPerThread));
  expect(cudaLaunchHostFunc(
      cudaStreamPerThread, [](void* data) { told += *static_cast<int*>(data); }, &seen));
  expect(cudaStreamAddCallback(
      cudaStreamPerThread, [](cudaStream_t, cudaError_t status, void*) { told += status == cudaSuccess ? 100 : 1000; }, nullptr, 0));
  // Nobody waits for the stream: the functions run all the same.
  for (int k = 0; k < 1000 && told != 105; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  expect(told == 105);
  expect(cudaFree(device));
}

int main() {
  halves();
  host_functions();
  std::puts("streams: passed");
}
