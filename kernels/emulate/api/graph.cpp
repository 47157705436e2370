// SPDX-License-Identifier: MIT
// Graphs: the work of a capture with the addresses that it had then.
#include "kernels/emulate/runtime.h"

#include <algorithm>

namespace mirilla::emulate {

namespace {

bool leaves_memory(const CUgraphExec_st& exec) {
  return std::any_of(exec.blocks.begin(), exec.blocks.end(), [](const auto& one) { return !one.second->freed_inside; });
}

cudaError_t launch(Runtime& r, CUgraphExec_st& exec, CUstream_st& stream) {
  if (exec.keeps_memory) return cudaErrorInvalidValue;  // what the last launch allocated was not freed
  if (exec.last) stream.give_wait(exec.last);           // it does not run beside itself
  stream.begin(r);
  auto done = std::make_shared<std::vector<std::function<void()>>>();
  for (const Work& work : exec.works) done->push_back(work.start(stream));
  stream.give(r, [done, blocks = exec.blocks] {
    for (const auto& one : *done) one();
  });
  exec.last = stream.mark();
  exec.keeps_memory = leaves_memory(exec);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return call("cudaGraphGetNodes", Needs::kHealthy, [&](Runtime& r) {
    if (!r.graphs.contains(graph) || !count) return cudaErrorInvalidValue;
    if (nodes) throw DeviceError("the program asks for the nodes of a graph, and kernels/emulate only counts them");
    *count = graph->works.size();
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", Needs::kHealthy, [&](Runtime& r) {
    if (!exec || !r.graphs.contains(graph)) return cudaErrorInvalidValue;
    auto made = std::make_unique<CUgraphExec_st>();
    made->works = graph->works;
    made->blocks = graph->blocks;
    *exec = made.release();
    r.execs.insert(*exec);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return call("cudaGraphLaunch", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!r.execs.contains(exec)) return cudaErrorInvalidValue;
    if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
    if (stream->capture) {  // CUDA makes a child graph of it; no program of ours asks for that
      stream->capture->broken = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    return launch(r, *exec, *stream);
  });
}

cudaError_t CUDARTAPI cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy", Needs::kHealthy, [&](Runtime& r) {
    if (r.graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    const std::unique_ptr<CUgraph_st> owned(graph);
    return cudaSuccess;
  });
}

// A launch that is not done yet keeps what it needs.
cudaError_t CUDARTAPI cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy", Needs::kHealthy, [&](Runtime& r) {
    if (r.execs.erase(exec) == 0) return cudaErrorInvalidValue;
    const std::unique_ptr<CUgraphExec_st> owned(exec);
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
