// SPDX-License-Identifier: MIT
// Memory that begins to exist when it is asked for: of the device, and pinned.
#include "kernels/emulate/runtime.h"

#include <cstdlib>
#include <cstring>

namespace mirilla::emulate {

namespace {

cudaError_t allocate(Runtime& r, void** address, size_t bytes) {
  if (!address) return cudaErrorInvalidValue;
  *address = nullptr;
  if (const cudaError_t refused = refuse_unsafe(r)) return refused;
  if (bytes == 0) return cudaSuccess;
  Device& device = r.device();
  if (bytes > device.free_bytes()) return cudaErrorMemoryAllocation;
  std::byte* const made = fresh_memory(bytes);
  if (!made) return cudaErrorMemoryAllocation;
  std::memset(made, kNeverWritten, bytes);
  device.memory.add(made, bytes, device.content());
  device.used += bytes;
  r.blocks.add({made, bytes, device.index, MemoryBlock::Kind::kDevice});
  *address = made;
  return cudaSuccess;
}

cudaError_t allocate_pinned(Runtime& r, void** address, size_t bytes) {
  if (!address) return cudaErrorInvalidValue;
  *address = nullptr;
  if (const cudaError_t refused = refuse_unsafe(r)) return refused;
  if (bytes == 0) return cudaSuccess;
  std::byte* const made = fresh_memory(bytes);
  if (!made) return cudaErrorMemoryAllocation;
  std::memset(made, kNeverWritten, bytes);
  for (const auto& device : r.devices) device->memory.add(made, bytes, ptx::Memory::Content::kWritten, "pinned memory");
  r.blocks.add({made, bytes, Runtime::current(), MemoryBlock::Kind::kPinned});
  *address = made;
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMalloc(void** address, size_t bytes) {
  return call("cudaMalloc", Needs::kHealthy, [&](Runtime& r) { return allocate(r, address, bytes); });
}

// Waits for all work of the device, as CUDA does.
cudaError_t CUDARTAPI cudaFree(void* address) {
  return call("cudaFree", Needs::kHealthy, [&](Runtime& r) {
    if (!address) return cudaSuccess;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    const MemoryBlock* const found = r.blocks.at(address);
    if (!found || found->kind == MemoryBlock::Kind::kPinned) return cudaErrorInvalidValue;
    const MemoryBlock block = *found;
    Device& device = *r.devices[static_cast<size_t>(block.device)];
    r.drain(device);
    r.blocks.remove(block.begin);
    device.used -= block.bytes;
    r.blocks.retire(device, block.begin, block.bytes);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaHostAlloc(void** address, size_t bytes, unsigned) {
  return call("cudaHostAlloc", Needs::kHealthy, [&](Runtime& r) { return allocate_pinned(r, address, bytes); });
}

cudaError_t CUDARTAPI cudaMallocHost(void** address, size_t bytes) {
  return call("cudaMallocHost", Needs::kHealthy, [&](Runtime& r) { return allocate_pinned(r, address, bytes); });
}

// Waits for all work of all devices: copies may still use it.
cudaError_t CUDARTAPI cudaFreeHost(void* address) {
  return call("cudaFreeHost", Needs::kHealthy, [&](Runtime& r) {
    if (!address) return cudaSuccess;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    const MemoryBlock* const found = r.blocks.at(address);
    if (!found || found->kind != MemoryBlock::Kind::kPinned) return cudaErrorInvalidValue;
    const MemoryBlock block = *found;
    for (const auto& device : r.devices) r.drain(*device);
    r.blocks.remove(block.begin);
    for (size_t other = 1; other < r.devices.size(); ++other) r.devices[other]->memory.forget(block.begin);
    r.blocks.retire(*r.devices[0], block.begin, block.bytes);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return call("cudaPointerGetAttributes", Needs::kHealthy, [&](Runtime& r) {
    *attributes = {};
    const MemoryBlock* const block = r.blocks.find(address);
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = block ? block->device : -2;  // as CUDA says for memory that it does not know
    if (!block) {
      attributes->hostPointer = const_cast<void*>(address);
      return cudaSuccess;
    }
    const bool pinned = block->kind == MemoryBlock::Kind::kPinned;
    attributes->type = pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    attributes->devicePointer = const_cast<void*>(address);
    if (pinned) attributes->hostPointer = const_cast<void*>(address);
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
