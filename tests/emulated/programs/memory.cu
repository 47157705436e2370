// SPDX-License-Identifier: MIT
// Memory of all kinds: managed, registered, mapped, pitched, variables of the device, pools.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>
#include <vector>

__constant__ int factors[4];
__device__ int total;
__managed__ int shared_by_both = 3;

__global__ void scale(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= factors[i % 4];
}
__global__ void sum(const int* x, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&total, x[i]);
  if (threadIdx.x == 0) ++shared_by_both;
}

static void managed_and_symbols() {
  constexpr int n = 100;
  const int host_factors[4] = {1, 2, 3, 4};
  expect(cudaMemcpyToSymbol(factors, host_factors, sizeof factors));
  int* x = nullptr;
  expect(cudaMallocManaged(&x, n * sizeof(int)));
  int expected = 0;
  for (int i = 0; i < n; ++i) x[i] = i, expected += i * host_factors[i % 4];
  scale<<<1, 128>>>(x, n);
  expect(cudaDeviceSynchronize());
  expect(x[7] == 28);
  const int zero = 0;
  int found = -1;
  expect(cudaMemcpyToSymbol(total, &zero, sizeof zero));
  sum<<<1, 32>>>(x, n);
  expect(cudaMemcpyFromSymbol(&found, total, sizeof found));
  expect(found == expected);
  expect(shared_by_both == 4);
  void* address = nullptr;
  size_t bytes = 0;
  expect(cudaGetSymbolAddress(&address, factors));
  expect(cudaGetSymbolSize(&bytes, factors));
  expect(address && bytes == sizeof factors);
  cudaPointerAttributes attributes;
  expect(cudaPointerGetAttributes(&attributes, x));
  expect(attributes.type == cudaMemoryTypeManaged);
  expect(cudaFree(x));
}

static void host_memory() {
  constexpr int n = 64;
  std::vector<int> own(n, 5);
  expect(cudaHostRegister(own.data(), n * sizeof(int), cudaHostRegisterMapped));
  int *on_device = nullptr, *mapped = nullptr;
  expect(cudaHostGetDevicePointer(&on_device, own.data(), 0));
  scale<<<1, n>>>(on_device, n);
  expect(cudaDeviceSynchronize());
  expect(own[3] == 20 && own[4] == 5);
  expect(cudaHostUnregister(own.data()));
  expect(cudaHostUnregister(own.data()) == cudaErrorHostMemoryNotRegistered);
  (void)cudaGetLastError();
  expect(cudaHostAlloc(&mapped, n * sizeof(int), cudaHostAllocMapped));
  for (int i = 0; i < n; ++i) mapped[i] = 2;
  scale<<<1, n>>>(mapped, n);
  expect(cudaDeviceSynchronize());
  expect(mapped[1] == 4 && mapped[2] == 6);
  expect(cudaFreeHost(mapped));
}

static void rows() {
  constexpr int width = 10, height = 6;
  int* x = nullptr;
  size_t pitch = 0;
  expect(cudaMallocPitch(&x, &pitch, width * sizeof(int), height));
  expect(pitch >= width * sizeof(int));
  expect(cudaMemset2D(x, pitch, 0, width * sizeof(int), height));
  std::vector<int> host(width * height, 9), back(width * height, -1);
  expect(cudaMemcpy2D(x, pitch, host.data(), width * sizeof(int), width / 2 * sizeof(int), height, cudaMemcpyHostToDevice));
  expect(cudaMemcpy2D(back.data(), width * sizeof(int), x, pitch, width * sizeof(int), height, cudaMemcpyDeviceToHost));
  for (int i = 0; i < width * height; ++i) expect(back[i] == (i % width < width / 2 ? 9 : 0));
  expect(cudaFree(x));
}

static void stream_order() {
  cudaStream_t stream;
  expect(cudaStreamCreate(&stream));
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  cudaMemPool_t pool;
  expect(cudaMemPoolCreate(&pool, &properties));
  int* x = nullptr;
  int back = 0;
  expect(cudaMallocFromPoolAsync(reinterpret_cast<void**>(&x), 64 * sizeof(int), pool, stream));
  expect(cudaMemsetAsync(x, 1, 64 * sizeof(int), stream));
  expect(cudaMemcpyAsync(&back, x + 63, sizeof(int), cudaMemcpyDeviceToHost, stream));
  expect(cudaFreeAsync(x, stream));
  expect(cudaStreamSynchronize(stream));
  expect(back == 0x01010101);
  expect(cudaMemPoolDestroy(pool));
}

int main() {
  managed_and_symbols();
  host_memory();
  rows();
  stream_order();
  std::puts("memory: passed");
}
