// SPDX-License-Identifier: MIT
// A graph made of nodes, its copy, and other parameters for a node of an executable one.
#include "tests/emulated/programs/check.h"

#include <cuda_runtime.h>

__global__ void fill(int* x, int value) { x[threadIdx.x] = value; }
__global__ void sum(const int* x, int* result) { atomicAdd(result, x[threadIdx.x]); }

static int told = 0;

int main() {
  constexpr int n = 32;
  int *x = nullptr, *result = nullptr, back = 0, value = 3;
  expect(cudaMalloc(&x, n * sizeof(int)));
  expect(cudaMalloc(&result, sizeof(int)));
  cudaGraph_t graph;
  expect(cudaGraphCreate(&graph, 0));
  void* fill_arguments[] = {&x, &value};
  cudaKernelNodeParams filling = {};
  filling.func = reinterpret_cast<void*>(fill);
  filling.gridDim = dim3(1);
  filling.blockDim = dim3(n);
  filling.kernelParams = fill_arguments;
  cudaGraphNode_t filled, zeroed, summed, copied, said;
  cudaMemsetParams zero = {};
  zero.dst = result;
  zero.elementSize = 4;
  zero.width = 1;
  zero.height = 1;
  expect(cudaGraphAddMemsetNode(&zeroed, graph, nullptr, 0, &zero));
  expect(cudaGraphAddKernelNode(&filled, graph, nullptr, 0, &filling));
  void* sum_arguments[] = {&x, &result};
  cudaKernelNodeParams summing = filling;
  summing.func = reinterpret_cast<void*>(sum);
  summing.kernelParams = sum_arguments;
  const cudaGraphNode_t before[] = {filled, zeroed};
  expect(cudaGraphAddKernelNode(&summed, graph, before, 2, &summing));
  expect(cudaGraphAddMemcpyNode1D(&copied, graph, &summed, 1, &back, result, sizeof(int), cudaMemcpyDeviceToHost));
  cudaHostNodeParams saying = {};
  saying.fn = [](void* data) { told = *static_cast<int*>(data); };
  saying.userData = &back;
  expect(cudaGraphAddHostNode(&said, graph, &copied, 1, &saying));
  size_t nodes = 0, roots = 0;
  expect(cudaGraphGetNodes(graph, nullptr, &nodes));
  expect(cudaGraphGetRootNodes(graph, nullptr, &roots));
  expect(nodes == 5 && roots == 2);
  cudaGraph_t clone;
  cudaGraphExec_t exec, of_clone;
  expect(cudaGraphInstantiate(&exec, graph, 0));
  expect(cudaGraphClone(&clone, graph));
  expect(cudaGraphInstantiate(&of_clone, clone, 0));
  cudaStream_t stream;
  expect(cudaStreamCreate(&stream));
  expect(cudaGraphLaunch(exec, stream));
  expect(cudaStreamSynchronize(stream));
  expect(told == 3 * n);
  value = 5;
  expect(cudaGraphExecKernelNodeSetParams(exec, filled, &filling));
  expect(cudaGraphLaunch(exec, stream));
  expect(cudaStreamSynchronize(stream));
  expect(told == 5 * n);
  expect(cudaGraphLaunch(of_clone, stream));
  expect(cudaStreamSynchronize(stream));
  expect(told == 3 * n);
  expect(cudaGraphExecDestroy(exec));
  expect(cudaGraphDestroy(graph));
  std::puts("graphs: passed");
}
