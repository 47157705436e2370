// SPDX-License-Identifier: MIT
// Copies and fills. A copy of pinned or device memory is done as late as any other work; pageable memory is read before the call returns,
// and a copy to it waits.
#include "kernels/emulate/runtime.h"

#include <cstring>

namespace mirilla::emulate {
using ptx::Fault;
using ptx::u64;

namespace {

enum class Where { kDevice, kPinned, kPageable };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  Where target, source;
  const char* call;
};

Where where(const Runtime& r, const void* address) {
  const MemoryBlock* const block = r.blocks.find(address);
  if (!block) return Where::kPageable;
  return block->kind == MemoryBlock::Kind::kPinned ? Where::kPinned : Where::kDevice;
}

// What CUDA refuses when it is called. A graph's own memory is in no list of blocks.
bool fits(const Runtime& r, const Capture* capture, const void* address, size_t bytes, bool on_device) {
  const MemoryBlock* const block = r.blocks.find(address);
  if (capture && !block) {
    for (const auto& [begin, own] : capture->blocks) {
      const std::byte* const at = static_cast<const std::byte*>(address);
      if (at >= own->address && at + bytes <= own->address + own->bytes) return on_device;
    }
  }
  if (!block) return !on_device;
  if (static_cast<const std::byte*>(address) + bytes > block->begin + block->bytes) return false;
  return on_device == (block->kind != MemoryBlock::Kind::kPinned);
}

bool fits(const Runtime& r, const Capture* capture, const Copy& copy, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return true;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return fits(r, capture, copy.to, copy.bytes, to_device) && fits(r, capture, copy.from, copy.bytes, from_device);
}

[[noreturn]] void changed(const Copy& copy, std::string_view what) {
  throw Fault(Fault::Kind::kRace, fmt::format("{} of {} bytes: {}", copy.call, copy.bytes, what),
              "wait for an event that comes after the copy first");
}

void check_written(Device& device, const Copy& copy) {
  if (!device.settings.detect.unwritten) return;
  if (const auto at = device.memory.first_unwritten(copy.from, copy.bytes))
    throw Fault(Fault::Kind::kUnwritten, fmt::format("{} of {} bytes to the host: byte {} was never written", copy.call, copy.bytes,
                                                     *at - reinterpret_cast<u64>(copy.from)));
}

void carry_out(Runtime& r, Device& device, const Copy& copy, const void* from, u64 read_watch, u64 write_watch) {
  if (copy.target != Where::kPageable) device.check_reach(copy.to, copy.bytes, copy.call);
  if (copy.source != Where::kPageable) device.check_reach(copy.from, copy.bytes, copy.call);
  if (!r.pinned.unchanged(read_watch)) changed(copy, "its pinned source was changed before the copy had read it");
  if (!r.pinned.unchanged(write_watch)) changed(copy, "its pinned target was written before the copy had filled it");
  if (copy.source == Where::kDevice && copy.target != Where::kDevice) check_written(device, copy);
  std::memmove(copy.to, from, copy.bytes);
  // Where the host's memory was, the program may have device memory by now: its address says nothing about what was copied.
  if (copy.target == Where::kDevice && copy.source == Where::kDevice) device.memory.copied(copy.to, copy.from, copy.bytes);
  if (copy.target == Where::kDevice && copy.source != Where::kDevice) device.memory.wrote(copy.to, copy.bytes);
}

Work work_for(Runtime& r, Device& device, const Copy& copy, bool recorded) {
  return {[&r, &device, copy, recorded](CUstream_st&) {
    // A graph reads pageable memory whenever it runs.
    std::shared_ptr<std::vector<std::byte>> kept;
    if (copy.source == Where::kPageable && !recorded) {
      const auto* const from = static_cast<const std::byte*>(copy.from);
      kept = std::make_shared<std::vector<std::byte>>(from, from + copy.bytes);
    }
    const u64 read_watch = copy.source == Where::kPinned ? r.pinned.begin_read(copy.from, copy.bytes) : 0;
    const u64 write_watch = copy.target == Where::kPinned ? r.pinned.begin_write(copy.to, copy.bytes) : 0;
    return std::function<void()>([&r, &device, copy, kept, read_watch, write_watch] {
      device.execute([&] { carry_out(r, device, copy, kept ? kept->data() : copy.from, read_watch, write_watch); });
    });
  }};
}

cudaError_t copy_on(Runtime& r, const char* name, void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (bytes == 0) return cudaSuccess;
  Copy copy{to, from, bytes, where(r, to), where(r, from), name};
  const Capture* const capture = stream->capture.get();
  if (!to || !from || !fits(r, capture, copy, kind)) return cudaErrorInvalidValue;
  if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) copy.target = Where::kDevice;
  if (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) copy.source = Where::kDevice;
  Device& device = *r.devices[static_cast<size_t>(stream->device)];
  submit(r, *stream, work_for(r, device, copy, capture != nullptr));
  if (copy.target == Where::kPageable && !capture) stream->drain(r);
  return cudaSuccess;
}

cudaError_t fill_on(Runtime& r, const char* name, void* to, int value, size_t bytes, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (bytes == 0) return cudaSuccess;
  if (!fits(r, stream->capture.get(), to, bytes, true)) return cudaErrorInvalidValue;
  Device& device = *r.devices[static_cast<size_t>(stream->device)];
  submit(r, *stream, work_of([&device, name, to, value, bytes] {
           device.execute([&] {
             device.check_reach(to, bytes, name);
             std::memset(to, value, bytes);
             device.memory.wrote(to, bytes);
           });
         }));
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", Needs::kHealthy, [&](Runtime& r) { return copy_on(r, "cudaMemcpyAsync", to, from, bytes, kind, stream); });
}

cudaError_t CUDARTAPI cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    const cudaError_t status = copy_on(r, "cudaMemcpy", to, from, bytes, kind, nullptr);
    if (status == cudaSuccess) r.device().legacy->drain(r);
    return status;
  });
}

cudaError_t CUDARTAPI cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", Needs::kHealthy, [&](Runtime& r) { return fill_on(r, "cudaMemsetAsync", to, value, bytes, stream); });
}

cudaError_t CUDARTAPI cudaMemset(void* to, int value, size_t bytes) {
  return call("cudaMemset", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    return fill_on(r, "cudaMemset", to, value, bytes, nullptr);
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
