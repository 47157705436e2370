// SPDX-License-Identifier: MIT
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

namespace {

constexpr unsigned kAsksPerOperation = 8;  // a query does not wait; a program that only asks gets on slowly

cudaError_t create(Runtime& r, cudaEvent_t* event, unsigned flags) {
  *event = std::make_unique<CUevent_st>().release();
  (*event)->flags = flags;
  (*event)->device = Runtime::current();
  r.events.insert(*event);
  return cudaSuccess;
}

cudaError_t record_in_capture(Runtime& r, CUstream_st& stream, cudaEvent_t handle, CUevent_st& event, unsigned flags) {
  if (!(flags & cudaEventRecordExternal)) {
    event.captured = stream.capture;
    event.captured_on = &stream;
    return cudaSuccess;
  }
  submit(r, stream, {[&r, handle](CUstream_st& launched_on) {
           const auto mark = std::make_shared<Mark>();
           mark->stream = launched_on.shared_from_this();
           mark->at = launched_on.given + 1;  // the launch: all of it counts as one operation
           if (CUevent_st* const alive = r.event(handle)) {
             alive->mark = mark;
             alive->captured.reset();
           }
           return std::function<void()>([mark] { mark->when = std::chrono::steady_clock::now(); });
         }});
  return cudaSuccess;
}

cudaError_t record(Runtime& r, cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  const auto stream = r.stream(stream_handle);
  CUevent_st* const event = r.event(handle);
  if (!stream || !event || event->device != stream->device) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (stream->capture) return record_in_capture(r, *stream, handle, *event, flags);
  if (flags & cudaEventRecordExternal) return cudaErrorIllegalState;
  const auto mark = std::make_shared<Mark>();
  stream->begin(r);
  stream->give(r, [mark] { mark->when = std::chrono::steady_clock::now(); });
  mark->stream = stream;
  mark->at = stream->given;
  event->mark = mark;
  event->captured.reset();
  event->asked = 0;
  return cudaSuccess;
}

cudaError_t refuse_captured(const CUevent_st& event) {
  const auto capture = event.captured.lock();
  if (!capture) return cudaSuccess;
  capture->broken = true;
  return cudaErrorCapturedEvent;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", Needs::kHealthy, [&](Runtime& r) { return create(r, event, flags); });
}

cudaError_t CUDARTAPI cudaEventCreate(cudaEvent_t* event) {
  return call("cudaEventCreate", Needs::kHealthy, [&](Runtime& r) { return create(r, event, cudaEventDefault); });
}

cudaError_t CUDARTAPI cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy", Needs::kHealthy, [&](Runtime& r) {
    if (r.events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    const std::unique_ptr<CUevent_st> owned(event);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return call("cudaEventRecordWithFlags", Needs::kHealthy, [&](Runtime& r) { return record(r, event, stream, flags); });
}

cudaError_t CUDARTAPI cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", Needs::kHealthy, [&](Runtime& r) { return record(r, event, stream, cudaEventRecordDefault); });
}

cudaError_t CUDARTAPI cudaEventSynchronize(cudaEvent_t handle) {
  return call("cudaEventSynchronize", Needs::kHealthy, [&](Runtime& r) {
    CUevent_st* const event = r.event(handle);
    if (!event) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_captured(*event)) return refused;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    if (event->mark && !event->mark->reached()) event->mark->stream->advance(r, event->mark->at);
    return r.devices[static_cast<size_t>(event->device)]->broken;
  });
}

cudaError_t CUDARTAPI cudaEventQuery(cudaEvent_t handle) {
  return call("cudaEventQuery", Needs::kHealthy, [&](Runtime& r) {
    CUevent_st* const event = r.event(handle);
    if (!event) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_captured(*event)) return refused;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    if (!event->mark || event->mark->reached()) return cudaSuccess;
    CUstream_st& stream = *event->mark->stream;
    if (++event->asked % kAsksPerOperation == 0) stream.advance(r, stream.done + 1);
    return cudaErrorNotReady;
  });
}

cudaError_t CUDARTAPI cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return call("cudaEventElapsedTime", Needs::kHealthy, [&](Runtime& r) {
    const CUevent_st* const start = r.event(from);
    const CUevent_st* const end = r.event(to);
    if (!start || !end || !start->mark || !end->mark) return cudaErrorInvalidResourceHandle;
    if ((start->flags | end->flags) & cudaEventDisableTiming) return cudaErrorInvalidResourceHandle;
    if (!start->mark->reached() || !end->mark->reached()) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->mark->when - start->mark->when).count();
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
