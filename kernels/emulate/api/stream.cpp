// SPDX-License-Identifier: MIT
#include "kernels/emulate/runtime.h"

#include <algorithm>

namespace mirilla::emulate {

namespace {

constexpr int kLeastPriority = 0, kGreatestPriority = -5;  // as GPUs since sm_80 have them; here they order nothing

cudaError_t create(Runtime& r, cudaStream_t* stream, unsigned flags, int priority = kLeastPriority) {
  if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
  const auto made = std::make_shared<CUstream_st>(Runtime::current(), flags == cudaStreamDefault);
  made->priority = std::clamp(priority, kGreatestPriority, kLeastPriority);
  r.streams[made.get()] = made;
  *stream = made.get();
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", Needs::kHealthy, [&](Runtime& r) { return create(r, stream, flags); });
}

cudaError_t CUDARTAPI cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", Needs::kHealthy, [&](Runtime& r) { return create(r, stream, cudaStreamDefault); });
}

// Its work goes on, as in CUDA: the waits of others keep it.
cudaError_t CUDARTAPI cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!handle || !stream) return cudaErrorInvalidResourceHandle;
    if (stream->capture) {  // one that has come back to the origin may go
      const auto capture = stream->capture;
      const auto other = capture->joined.find(stream.get());
      if (other == capture->joined.end() || !other->second) {
        capture->broken = true;
        return cudaErrorStreamCaptureUnsupported;
      }
      capture->joined.erase(other);
      stream->capture.reset();
    }
    r.orphans.push_back(stream);
    r.streams.erase(handle);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_on(r, *stream)) return refused;
    stream->drain(r);
    Device& device = *r.devices[static_cast<size_t>(stream->device)];
    device.trim(device.pool_threshold);
    return device.broken;
  });
}

// Nobody waits, so almost nothing is done; a program that asks again and again gets on all the same.
cudaError_t CUDARTAPI cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_on(r, *stream)) return refused;
    if (stream->waiting.empty()) return cudaSuccess;
    stream->advance(r, stream->done + 1);
    return cudaErrorNotReady;
  });
}

cudaError_t CUDARTAPI cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  return call("cudaStreamWaitEvent", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    CUevent_st* const event = r.event(event_handle);
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
    if (const auto captured = event->captured.lock()) return join(*stream, captured, event->captured_on);
    if (stream->capture && event->mark && !(flags & cudaEventWaitExternal)) {
      stream->capture->broken = true;  // a graph cannot wait for what it did not record
      return cudaErrorStreamCaptureIsolation;
    }
    if (!event->mark) return cudaSuccess;
    if (stream->capture) {
      submit(r, *stream, work_of([&r, mark = event->mark] {
               if (!mark->reached()) mark->stream->advance(r, mark->at);
             }));
    } else {
      stream->give_wait(event->mark);
    }
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream.get() == r.devices[static_cast<size_t>(stream->device)]->legacy.get()) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorIllegalState;
    const auto capture = std::make_shared<Capture>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = stream.get();
    stream->capture = capture;
    r.captures.push_back(capture);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", Needs::kHealthy, [&](Runtime& r) {
    *graph = nullptr;
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    const auto capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != stream.get()) return cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    return end_capture(r, *stream, graph);
  });
}

cudaError_t CUDARTAPI cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *status = !stream->capture          ? cudaStreamCaptureStatusNone
              : stream->capture->broken ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return call("cudaStreamCreateWithPriority", Needs::kHealthy, [&](Runtime& r) { return create(r, stream, flags, priority); });
}

cudaError_t CUDARTAPI cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call("cudaDeviceGetStreamPriorityRange", Needs::kHealthy, [&](Runtime&) {
    if (least) *least = kLeastPriority;
    if (greatest) *greatest = kGreatestPriority;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return call("cudaStreamGetPriority", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *priority = stream->priority;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return call("cudaStreamGetFlags", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    const bool legacy = stream.get() == r.devices[static_cast<size_t>(stream->device)]->legacy.get();
    *flags = legacy || stream->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamGetDevice(cudaStream_t handle, int* index) {
  return call("cudaStreamGetDevice", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *index = stream->device;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
  return call("cudaStreamGetId", Needs::kHealthy, [&](Runtime& r) {
    const auto stream = r.stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    *id = reinterpret_cast<ptx::u64>(stream.get());
    return cudaSuccess;
  });
}

// The attributes guide caches and the order of work on a GPU.
cudaError_t CUDARTAPI cudaStreamSetAttribute(cudaStream_t handle, cudaStreamAttrID, const cudaStreamAttrValue* value) {
  return call("cudaStreamSetAttribute", Needs::kHealthy, [&](Runtime& r) {
    if (!r.stream(handle)) return cudaErrorInvalidResourceHandle;
    return value ? cudaSuccess : cudaErrorInvalidValue;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
