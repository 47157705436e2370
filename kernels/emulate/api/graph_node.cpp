// SPDX-License-Identifier: MIT
// Graphs that a program makes of nodes.
#include "kernels/emulate/copies.h"
#include "kernels/emulate/launches.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>

namespace mirilla::emulate {

namespace {

using Nodes = std::vector<CUgraphNode_st*>;

bool has(const CUgraph_st& graph, const CUgraphNode_st* node) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const auto& one) { return one.get() == node; });
}

/// The graph that the node is in; nullptr where there is none.
CUgraph_st* graph_of(const Runtime& r, const CUgraphNode_st* node) {
  for (CUgraph_st* const graph : r.graphs) {
    if (has(*graph, node)) return graph;
  }
  return nullptr;
}

/// Adds what `make` makes: cudaError_t make(CUgraph_st&, Work*).
template <class F>
cudaError_t add(Runtime& r, cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count, F make) {
  if (!node || !r.graphs.contains(graph) || (count > 0 && !after)) return cudaErrorInvalidValue;
  const Nodes before(after, after + count);
  for (const CUgraphNode_st* const one : before) {
    if (!has(*graph, one)) return cudaErrorInvalidValue;
  }
  Work work;
  if (const cudaError_t wrong = make(*graph, &work)) return wrong;
  *node = graph->add(std::move(work), before);
  return cudaSuccess;
}

cudaError_t kernel_work(Runtime& r, const cudaKernelNodeParams* asked, Work* work) {
  if (!asked || asked->extra) return cudaErrorInvalidValue;
  return make_launch(r, {asked->func, asked->gridDim, asked->blockDim, asked->kernelParams, asked->sharedMemBytes}, work);
}

cudaError_t copy_work(Runtime& r, const CUgraph_st& graph, const Copy& copy, Work* work) {
  if (copy.rows.empty()) return cudaErrorInvalidValue;
  if (const cudaError_t wrong = check(r, &graph.blocks, copy)) return wrong;
  *work = work_for(r, r.device(), copy, true);
  return cudaSuccess;
}

cudaError_t fill_work(Runtime& r, const CUgraph_st& graph, const cudaMemsetParams* asked, Work* work) {
  if (!asked || (asked->elementSize != 1 && asked->elementSize != 2 && asked->elementSize != 4)) return cudaErrorInvalidValue;
  const size_t width = asked->width * asked->elementSize;
  if (asked->height > 1 && asked->pitch < width) return cudaErrorInvalidPitchValue;
  const Fill fill{"a memset node of a graph", rows_of({asked->dst, asked->pitch, asked->height}, {}, {width, asked->height, 1}),
                  asked->value, asked->elementSize};
  if (fill.rows.empty()) return cudaErrorInvalidValue;
  if (const cudaError_t wrong = check(r, &graph.blocks, fill)) return wrong;
  *work = work_for(r.device(), fill);
  return cudaSuccess;
}

cudaError_t host_work(const cudaHostNodeParams* asked, Work* work) {
  if (!asked || !asked->fn) return cudaErrorInvalidValue;
  *work = work_of([function = asked->fn, data = asked->userData] { function(data); });
  work->type = cudaGraphNodeTypeHost;
  return cudaSuccess;
}

void begin_to_exist(Device& device, GraphBlock& block) {
  device.execute([&] {
    std::memset(block.address, kNeverWritten, block.bytes);
    device.memory.add(block.address, block.bytes, device.content());
  });
  block.exists = true;
}

cudaError_t alloc_work(Runtime& r, CUgraph_st& graph, cudaMemAllocNodeParams* asked, Work* work) {
  if (!asked || asked->bytesize == 0 || asked->poolProps.location.type != cudaMemLocationTypeDevice) return cudaErrorInvalidValue;
  const int index = asked->poolProps.location.id;
  if (index < 0 || index >= r.settings.gpus) return cudaErrorInvalidDevice;
  Device& device = *r.devices[static_cast<size_t>(index)];
  if (asked->bytesize > device.free_bytes()) return cudaErrorMemoryAllocation;
  const auto block = std::make_shared<GraphBlock>(index, asked->bytesize);
  graph.blocks[block->address] = block;
  asked->dptr = block->address;
  *work = work_of([&device, block] { begin_to_exist(device, *block); });
  work->type = cudaGraphNodeTypeMemAlloc;
  return cudaSuccess;
}

cudaError_t free_work(Runtime& r, CUgraph_st& graph, const void* address, Work* work) {
  const auto found = graph.blocks.find(address);
  if (found == graph.blocks.end() || found->second->freed_inside) return cudaErrorInvalidValue;
  const auto block = found->second;
  block->freed_inside = true;
  *work = work_of([&device = *r.devices[static_cast<size_t>(block->device)], block] {
    device.execute([&] {
      std::memset(block->address, kFreed, block->bytes);
      device.memory.remove(block->address);
    });
    block->exists = false;
  });
  work->type = cudaGraphNodeTypeMemFree;
  return cudaSuccess;
}

// Another graph's work as one node. It is copied: what happens to the other graph later changes nothing.
cudaError_t child_work(Runtime& r, cudaGraph_t child, Work* work) {
  if (!r.graphs.contains(child) || !child->blocks.empty()) return cudaErrorInvalidValue;
  std::vector<Work> works;
  for (const CUgraphNode_st* const node : child->in_order()) works.push_back(node->work);
  work->start = [works](CUstream_st& stream) {
    std::vector<std::function<void()>> all;
    for (const Work& one : works) all.push_back(one.start(stream));
    return std::function<void()>([all] {
      for (const auto& one : all) one();
    });
  };
  work->type = cudaGraphNodeTypeGraph;
  return cudaSuccess;
}

/// Replaces the work of the node in a graph, or of its copy in an executable one.
cudaError_t replace(Work* old, cudaError_t status, Work fresh) {
  if (status != cudaSuccess) return status;
  if (!old || old->type != fresh.type) return cudaErrorInvalidValue;
  *old = std::move(fresh);
  return cudaSuccess;
}

Work* step_of(Runtime& r, cudaGraphExec_t exec, const CUgraphNode_st* node) {
  if (!r.execs.contains(exec) || !graph_of(r, node)) return nullptr;
  for (auto& step : exec->steps) {
    if (step.node == node->number) return &step.work;
  }
  return nullptr;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaGraphCreate(cudaGraph_t* graph, unsigned flags) {
  return call("cudaGraphCreate", Needs::kHealthy, [&](Runtime& r) {
    if (!graph || flags != 0) return cudaErrorInvalidValue;
    *graph = std::make_unique<CUgraph_st>().release();
    r.graphs.insert(*graph);
    return cudaSuccess;
  });
}

// The nodes of the copy have the numbers of the originals.
cudaError_t CUDARTAPI cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  return call("cudaGraphClone", Needs::kHealthy, [&](Runtime& r) {
    if (!clone || !r.graphs.contains(graph)) return cudaErrorInvalidValue;
    if (!graph->blocks.empty()) return cudaErrorNotSupported;
    auto made = std::make_unique<CUgraph_st>();
    std::map<const CUgraphNode_st*, CUgraphNode_st*> copies;
    for (const CUgraphNode_st* const node : graph->in_order()) {
      Nodes after;
      for (const CUgraphNode_st* const one : node->after) after.push_back(copies.at(one));
      copies[node] = made->add(node->work, after);
      copies[node]->number = node->number;
    }
    *clone = made.release();
    r.graphs.insert(*clone);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                             const cudaKernelNodeParams* asked) {
  return call("cudaGraphAddKernelNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st&, Work* work) { return kernel_work(r, asked, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                             const cudaMemcpy3DParms* asked) {
  return call("cudaGraphAddMemcpyNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st& own, Work* work) {
      Copy copy;
      const cudaError_t wrong = copy_of(asked, &copy);
      return wrong ? wrong : copy_work(r, own, copy, work);
    });
  });
}

cudaError_t CUDARTAPI cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                               void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call("cudaGraphAddMemcpyNode1D", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st& own, Work* work) {
      return copy_work(r, own, {"a copy of a graph", kind, {{to, from, bytes}}}, work);
    });
  });
}

cudaError_t CUDARTAPI cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                             const cudaMemsetParams* asked) {
  return call("cudaGraphAddMemsetNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st& own, Work* work) { return fill_work(r, own, asked, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                           const cudaHostNodeParams* asked) {
  return call("cudaGraphAddHostNode", Needs::kHealthy, [&](Runtime& r) {
    r.watch();  // the program may wait for the function without a call
    return add(r, node, graph, after, count, [&](CUgraph_st&, Work* work) { return host_work(asked, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count) {
  return call("cudaGraphAddEmptyNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st&, Work* work) {
      *work = work_of([] {});
      return cudaSuccess;
    });
  });
}

cudaError_t CUDARTAPI cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                                 cudaGraph_t child) {
  return call("cudaGraphAddChildGraphNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st&, Work* work) { return child_work(r, child, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                               cudaMemAllocNodeParams* asked) {
  return call("cudaGraphAddMemAllocNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st& own, Work* work) { return alloc_work(r, own, asked, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                              void* address) {
  return call("cudaGraphAddMemFreeNode", Needs::kHealthy, [&](Runtime& r) {
    return add(r, node, graph, after, count, [&](CUgraph_st& own, Work* work) { return free_work(r, own, address, work); });
  });
}

cudaError_t CUDARTAPI cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return call("cudaGraphNodeGetType", Needs::kHealthy, [&](Runtime& r) {
    if (!type || !graph_of(r, node)) return cudaErrorInvalidValue;
    *type = node->work.type;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                               const cudaGraphEdgeData*, size_t count) {
  return call("cudaGraphAddDependencies", Needs::kHealthy, [&](Runtime& r) {
    if (!r.graphs.contains(graph)) return cudaErrorInvalidValue;
    for (size_t k = 0; k < count; ++k) {
      if (!has(*graph, from[k]) || !has(*graph, to[k])) return cudaErrorInvalidValue;
    }
    for (size_t k = 0; k < count; ++k) to[k]->after.push_back(from[k]);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* asked) {
  return call("cudaGraphKernelNodeSetParams", Needs::kHealthy, [&](Runtime& r) {
    Work fresh;
    const cudaError_t status = kernel_work(r, asked, &fresh);
    return replace(graph_of(r, node) ? &node->work : nullptr, status, std::move(fresh));
  });
}

cudaError_t CUDARTAPI cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaKernelNodeParams* asked) {
  return call("cudaGraphExecKernelNodeSetParams", Needs::kHealthy, [&](Runtime& r) {
    Work fresh;
    const cudaError_t status = kernel_work(r, asked, &fresh);
    return replace(step_of(r, exec, node), status, std::move(fresh));
  });
}

cudaError_t CUDARTAPI cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from,
                                                         size_t bytes, cudaMemcpyKind kind) {
  return call("cudaGraphExecMemcpyNodeSetParams1D", Needs::kHealthy, [&](Runtime& r) {
    const CUgraph_st* const graph = graph_of(r, node);
    if (!graph) return cudaErrorInvalidValue;
    Work fresh;
    const cudaError_t status = copy_work(r, *graph, {"a copy of a graph", kind, {{to, from, bytes}}}, &fresh);
    return replace(step_of(r, exec, node), status, std::move(fresh));
  });
}

cudaError_t CUDARTAPI cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemcpy3DParms* asked) {
  return call("cudaGraphExecMemcpyNodeSetParams", Needs::kHealthy, [&](Runtime& r) {
    const CUgraph_st* const graph = graph_of(r, node);
    Copy copy;
    if (!graph) return cudaErrorInvalidValue;
    if (const cudaError_t wrong = copy_of(asked, &copy)) return wrong;
    Work fresh;
    const cudaError_t status = copy_work(r, *graph, copy, &fresh);
    return replace(step_of(r, exec, node), status, std::move(fresh));
  });
}

cudaError_t CUDARTAPI cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemsetParams* asked) {
  return call("cudaGraphExecMemsetNodeSetParams", Needs::kHealthy, [&](Runtime& r) {
    const CUgraph_st* const graph = graph_of(r, node);
    if (!graph) return cudaErrorInvalidValue;
    Work fresh;
    const cudaError_t status = fill_work(r, *graph, asked, &fresh);
    return replace(step_of(r, exec, node), status, std::move(fresh));
  });
}

cudaError_t CUDARTAPI cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaHostNodeParams* asked) {
  return call("cudaGraphExecHostNodeSetParams", Needs::kHealthy, [&](Runtime& r) {
    Work fresh;
    const cudaError_t status = host_work(asked, &fresh);
    return replace(step_of(r, exec, node), status, std::move(fresh));
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
