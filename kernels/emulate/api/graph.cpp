// SPDX-License-Identifier: MIT
// Graphs: the work of a capture, or of nodes (graph_node.cpp), with the addresses that it had then.
#include "kernels/emulate/runtime.h"

#include <algorithm>

namespace mirilla::emulate {

namespace {

cudaError_t list(const std::vector<CUgraphNode_st*>& all, cudaGraphNode_t* nodes, size_t* count) {
  if (!count) return cudaErrorInvalidValue;
  if (nodes) {
    for (size_t k = 0; k < *count; ++k) nodes[k] = k < all.size() ? all[k] : nullptr;
  } else {
    *count = all.size();
  }
  return cudaSuccess;
}

cudaError_t instantiate(Runtime& r, cudaGraphExec_t* exec, cudaGraph_t graph) {
  if (!exec || !r.graphs.contains(graph)) return cudaErrorInvalidValue;
  auto made = std::make_unique<CUgraphExec_st>();
  const auto order = graph->in_order();
  if (order.size() != graph->nodes.size()) return cudaErrorInvalidValue;  // a circle
  for (const CUgraphNode_st* const node : order) made->steps.push_back({node->work, node->number});
  made->blocks = graph->blocks;
  *exec = made.release();
  r.execs.insert(*exec);
  return cudaSuccess;
}

// The same nodes in the same order, with other parameters.
bool updates(const CUgraphExec_st& exec, const std::vector<const CUgraphNode_st*>& order) {
  if (exec.steps.size() != order.size()) return false;
  for (size_t k = 0; k < order.size(); ++k) {
    if (exec.steps[k].work.type != order[k]->work.type) return false;
  }
  return true;
}

bool leaves_memory(const CUgraphExec_st& exec) {
  return std::any_of(exec.blocks.begin(), exec.blocks.end(), [](const auto& one) { return !one.second->freed_inside; });
}

cudaError_t launch(Runtime& r, CUgraphExec_st& exec, CUstream_st& stream) {
  if (exec.keeps_memory) return cudaErrorInvalidValue;  // what the last launch allocated was not freed
  if (exec.last) stream.give_wait(exec.last);           // it does not run beside itself
  stream.begin(r);
  auto done = std::make_shared<std::vector<std::function<void()>>>();
  for (const auto& step : exec.steps) done->push_back(step.work.start(stream));
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
    if (!r.graphs.contains(graph)) return cudaErrorInvalidValue;
    std::vector<CUgraphNode_st*> all;
    for (const auto& node : graph->nodes) all.push_back(node.get());
    return list(all, nodes, count);
  });
}

cudaError_t CUDARTAPI cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return call("cudaGraphGetRootNodes", Needs::kHealthy, [&](Runtime& r) {
    if (!r.graphs.contains(graph)) return cudaErrorInvalidValue;
    std::vector<CUgraphNode_st*> roots;
    for (const auto& node : graph->nodes) {
      if (node->after.empty()) roots.push_back(node.get());
    }
    return list(roots, nodes, count);
  });
}

cudaError_t CUDARTAPI cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", Needs::kHealthy, [&](Runtime& r) { return instantiate(r, exec, graph); });
}

cudaError_t CUDARTAPI cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return call("cudaGraphInstantiateWithFlags", Needs::kHealthy, [&](Runtime& r) {
    if (flags & cudaGraphInstantiateFlagDeviceLaunch)
      throw DeviceError("the program instantiates a graph for launches from kernels: dynamic parallelism is not emulated");
    return instantiate(r, exec, graph);
  });
}

cudaError_t CUDARTAPI cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle) {
  return call("cudaGraphUpload", Needs::kHealthy, [&](Runtime& r) {
    if (!r.execs.contains(exec)) return cudaErrorInvalidValue;
    return r.stream(handle) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t CUDARTAPI cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  return call("cudaGraphExecUpdate", Needs::kHealthy, [&](Runtime& r) {
    if (!r.execs.contains(exec) || !r.graphs.contains(graph) || !info) return cudaErrorInvalidValue;
    *info = {};
    const auto order = graph->in_order();
    if (!updates(*exec, order) || !graph->blocks.empty() || !exec->blocks.empty()) {
      info->result = cudaGraphExecUpdateErrorTopologyChanged;
      return cudaErrorGraphExecUpdateFailure;
    }
    info->result = cudaGraphExecUpdateSuccess;
    for (size_t k = 0; k < order.size(); ++k) exec->steps[k] = {order[k]->work, order[k]->number};
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
