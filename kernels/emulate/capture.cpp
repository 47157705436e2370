// SPDX-License-Identifier: MIT
#include "kernels/emulate/capture.h"

#include "kernels/emulate/runtime.h"

#include <cstdlib>
#include <new>

namespace mirilla::emulate {

GraphBlock::GraphBlock(int device_index, size_t size) : device(device_index), bytes(size), address(fresh_memory(size)) {
  if (!address) throw std::bad_alloc();
  runtime().devices[static_cast<size_t>(device)]->used += bytes;
}

GraphBlock::~GraphBlock() {
  Device& owner = *runtime().devices[static_cast<size_t>(device)];
  owner.memory.forget(address);
  owner.used -= bytes;
  std::free(address);
}

void submit(Runtime& runtime, CUstream_st& stream, Work work) {
  if (stream.capture) {
    stream.capture->works.push_back(std::move(work));
    if (const auto other = stream.capture->joined.find(&stream); other != stream.capture->joined.end()) other->second = false;
    return;
  }
  stream.begin(runtime);
  stream.give(runtime, work.start(stream));
}

namespace {

cudaError_t break_capture(Capture& capture, cudaError_t error) {
  capture.broken = true;
  return error;
}

}  // namespace

cudaError_t refuse_unsafe(Runtime& runtime) {
  cudaError_t answer = cudaSuccess;
  for (const auto& capture : runtime.captures) {
    const bool forbids = capture->mode == cudaStreamCaptureModeGlobal ||
                         (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id());
    if (forbids) answer = break_capture(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return answer;
}

cudaError_t refuse_on(Runtime& runtime, const CUstream_st& stream) {
  if (stream.capture) return break_capture(*stream.capture, cudaErrorStreamCaptureUnsupported);
  if (const cudaError_t work = refuse_work(runtime, stream)) return work;  // the default stream
  return refuse_unsafe(runtime);
}

cudaError_t refuse_device_wide(Runtime& runtime, int device) {
  cudaError_t answer = cudaSuccess;
  for (const auto& capture : runtime.captures) {
    if (capture->origin->device == device) answer = break_capture(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return answer;
}

cudaError_t refuse_work(Runtime& runtime, const CUstream_st& stream) {
  if (stream.capture) return stream.capture->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
  if (&stream != runtime.devices[static_cast<size_t>(stream.device)]->legacy.get()) return cudaSuccess;
  for (const auto& capture : runtime.captures) {
    if (capture->origin->blocking && capture->origin->device == stream.device)
      return break_capture(*capture, cudaErrorStreamCaptureImplicit);
  }
  return cudaSuccess;
}

cudaError_t join(CUstream_st& stream, const std::shared_ptr<Capture>& capture, cudaStream_t recorded_on) {
  if (stream.capture && stream.capture != capture) return break_capture(*stream.capture, cudaErrorStreamCaptureMerge);
  if (!stream.capture) {
    stream.capture = capture;
    capture->joined[&stream] = false;
  } else if (const auto other = capture->joined.find(recorded_on); other != capture->joined.end()) {
    other->second = true;
  }
  return cudaSuccess;
}

cudaError_t end_capture(Runtime& runtime, CUstream_st& origin, cudaGraph_t* graph) {
  const std::shared_ptr<Capture> capture = origin.capture;
  bool unjoined = false;
  for (const auto& [other, joined] : capture->joined) {
    if (const auto stream = runtime.stream(other)) stream->capture.reset();
    unjoined = unjoined || !joined;
  }
  origin.capture.reset();
  std::erase(runtime.captures, capture);
  if (capture->broken) return cudaErrorStreamCaptureInvalidated;
  if (unjoined) return cudaErrorStreamCaptureUnjoined;
  auto made = std::make_unique<CUgraph_st>();
  // One after the other as they were recorded, which any order that the streams and events allow may be.
  CUgraphNode_st* before = nullptr;
  for (Work& work : capture->works)
    before = made->add(std::move(work), before ? std::vector<CUgraphNode_st*>{before} : std::vector<CUgraphNode_st*>{});
  made->blocks = std::move(capture->blocks);
  *graph = made.release();
  runtime.graphs.insert(*graph);
  return cudaSuccess;
}

}  // namespace mirilla::emulate
