// SPDX-License-Identifier: MIT
// Cooperative groups: tiles, coalesced threads, reductions, and a grid whose blocks wait for each other.
#include "tests/emulated/programs/check.h"

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda_runtime.h>
#include <vector>

namespace cg = cooperative_groups;

__global__ void tiles(int* sums, int* scans, int* odd) {
  const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  const int own = static_cast<int>(threadIdx.x);
  const int sum = cg::reduce(tile, own, cg::plus<int>());
  if (tile.thread_rank() == 0) sums[threadIdx.x / 8] = sum;
  scans[threadIdx.x] = cg::inclusive_scan(tile, own);
  if (own % 2) {
    const auto together = cg::coalesced_threads();
    if (together.thread_rank() == 0) atomicAdd(odd, static_cast<int>(together.size()));
  }
}

// Each block adds what its left neighbour had in the round before.
__global__ void rounds(int* values, int count) {
  const cg::grid_group grid = cg::this_grid();
  for (int round = 0; round < count; ++round) {
    const int left = values[(blockIdx.x + gridDim.x - 1) % gridDim.x];
    grid.sync();
    if (threadIdx.x == 0) values[blockIdx.x] += left;
    grid.sync();
  }
}

static void check_tiles() {
  constexpr int n = 64;
  int* all = nullptr;
  expect(cudaMallocManaged(&all, (n + n + 1) * sizeof(int)));
  int *const sums = all, *const scans = all + n, *const odd = all + 2 * n;
  *odd = 0;
  tiles<<<1, n>>>(sums, scans, odd);
  expect(cudaDeviceSynchronize());
  for (int t = 0; t < n / 8; ++t) expect(sums[t] == 8 * (8 * t) + 28);
  for (int i = 0; i < n; ++i) {
    int expected = 0;
    for (int k = i / 8 * 8; k <= i; ++k) expected += k;
    expect(scans[i] == expected);
  }
  expect(*odd == n / 2);
  expect(cudaFree(all));
}

static void check_grid() {
  constexpr int threads = 64, count = 4;
  int blocks = 0, can = 0;
  cudaDeviceProp properties;
  expect(cudaGetDeviceProperties(&properties, 0));
  expect(cudaDeviceGetAttribute(&can, cudaDevAttrCooperativeLaunch, 0));
  expect(can == 1);
  expect(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, rounds, threads, 0));
  expect(blocks > 0 && blocks <= properties.maxBlocksPerMultiProcessor);
  constexpr int grid = 6;
  int* values = nullptr;
  expect(cudaMallocManaged(&values, grid * sizeof(int)));
  std::vector<int> expected(grid);
  for (int b = 0; b < grid; ++b) expected[b] = values[b] = b + 1;
  for (int round = 0; round < count; ++round) {
    const std::vector<int> before = expected;
    for (int b = 0; b < grid; ++b) expected[b] += before[(b + grid - 1) % grid];
  }
  int rounds_wanted = count;
  void* arguments[] = {&values, &rounds_wanted};
  expect(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(rounds), dim3(grid), dim3(threads), arguments, 0, nullptr));
  expect(cudaDeviceSynchronize());
  for (int b = 0; b < grid; ++b) expect(values[b] == expected[b]);
  const unsigned too_many = static_cast<unsigned>(blocks * properties.multiProcessorCount + 1);
  expect(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(rounds), dim3(too_many), dim3(threads), arguments, 0, nullptr) ==
         cudaErrorCooperativeLaunchTooLarge);
  expect(cudaFree(values));
}

int main() {
  check_tiles();
  check_grid();
  std::puts("groups: passed");
}
