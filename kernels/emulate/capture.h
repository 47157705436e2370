// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/stream.h"

#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

namespace mirilla::emulate {

/// Memory that a capture allocated: its address belongs to the graph for as long as the graph or something made of it lives.
struct GraphBlock {
  GraphBlock(int device, size_t bytes);  // throws std::bad_alloc
  ~GraphBlock();
  GraphBlock(const GraphBlock&) = delete;
  GraphBlock& operator=(const GraphBlock&) = delete;

  const int device;
  const size_t bytes;
  std::byte* address = nullptr;
  bool exists = false;        // between the graph's allocation and its release
  bool freed_inside = false;  // the graph releases it
};

/// What streams record between cudaStreamBeginCapture and cudaStreamEndCapture.
struct Capture {
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  cudaStream_t origin = nullptr;
  std::vector<Work> works;
  std::map<const void*, std::shared_ptr<GraphBlock>> blocks;
  std::map<cudaStream_t, bool> joined;  // other streams that take part: whether the origin waits for their last work
  bool broken = false;
};

/// Gives work to a stream, or records it where the stream captures.
void submit(Runtime& runtime, CUstream_st& stream, Work work);

/// What CUDA answers to a call that is not allowed while something captures; the capture is broken then. cudaSuccess: go on.
///                                                                                             [CUDA C++ Programming Guide, Stream Capture]
cudaError_t refuse_unsafe(Runtime& runtime);                         // unless all captures are relaxed, or of other threads
cudaError_t refuse_on(Runtime& runtime, const CUstream_st& stream);  // a wait for the stream, a query
cudaError_t refuse_device_wide(Runtime& runtime, int device);
/// A stream waits for an event that a capture recorded: it takes part in the capture, or the capture's origin has come to wait for it.
cudaError_t join(CUstream_st& stream, const std::shared_ptr<Capture>& capture, cudaStream_t recorded_on);
/// Ends the capture of its origin and makes a graph of it.
cudaError_t end_capture(Runtime& runtime, CUstream_st& origin, cudaGraph_t* graph);
/// For work on a stream: its capture is broken already, or the default stream would make a captured one wait.
cudaError_t refuse_work(Runtime& runtime, const CUstream_st& stream);

}  // namespace mirilla::emulate

struct CUgraphNode_st {
  mirilla::emulate::Work work;
  std::vector<CUgraphNode_st*> after;  // the nodes that come before it
  CUgraph_st* graph = nullptr;
  mirilla::ptx::u64 number = 0;  // a copy of the node in a graph made of this one has it too
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::map<const void*, std::shared_ptr<mirilla::emulate::GraphBlock>> blocks;

  CUgraphNode_st* add(mirilla::emulate::Work work, std::vector<CUgraphNode_st*> after);
  /// Each node after those that come before it, else in the order in which they were added. Empty where nodes wait for each other.
  std::vector<const CUgraphNode_st*> in_order() const;
};

struct CUgraphExec_st {
  struct Step {
    mirilla::emulate::Work work;
    mirilla::ptx::u64 node = 0;  // its number
  };
  std::vector<Step> steps;
  std::map<const void*, std::shared_ptr<mirilla::emulate::GraphBlock>> blocks;
  std::shared_ptr<mirilla::emulate::Mark> last;  // its last launch: it does not run twice at the same time
  bool keeps_memory = false;                     // a launch left memory allocated
};
