// SPDX-License-Identifier: MIT
// Memory that begins to exist when it is asked for: of the device, and pinned.
#include "kernels/emulate/runtime.h"

#include <cstdlib>
#include <cstring>

namespace mirilla::emulate {

namespace {

// Waits for all work of all devices, which may still use it.
void release_shared(Runtime& r, const MemoryBlock block) {
  for (const auto& device : r.devices) r.drain(*device);
  r.blocks.remove(block.begin);
  for (size_t other = block.registered ? 0 : 1; other < r.devices.size(); ++other) r.devices[other]->memory.forget(block.begin);
  if (!block.registered) r.blocks.retire(*r.devices[0], block.begin, block.bytes);
}

cudaError_t release(Runtime& r, void* address) {
  if (!address) return cudaSuccess;
  if (const cudaError_t refused = refuse_unsafe(r)) return refused;
  const MemoryBlock* const found = r.blocks.at(address);
  if (!found || found->registered || found->kind == MemoryBlock::Kind::kPinned || found->kind == MemoryBlock::Kind::kVariable)
    return cudaErrorInvalidValue;
  if (found->kind == MemoryBlock::Kind::kManaged) {
    release_shared(r, *found);
    return cudaSuccess;
  }
  const MemoryBlock block = *found;
  Device& device = *r.devices[static_cast<size_t>(block.device)];
  r.drain(device);
  r.blocks.remove(block.begin);
  device.used -= block.bytes;
  r.blocks.retire(device, block.begin, block.bytes);
  return cudaSuccess;
}

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
  if (r.mistake == Mistake::Kind::kEarly) return release(r, made);
  return cudaSuccess;
}

// Memory that the host and all GPUs may touch. The host writes without a word, so it counts as written.
cudaError_t allocate_shared(Runtime& r, void** address, size_t bytes, MemoryBlock::Kind kind, unsigned flags) {
  if (!address) return cudaErrorInvalidValue;
  *address = nullptr;
  if (const cudaError_t refused = refuse_unsafe(r)) return refused;
  if (bytes == 0) return cudaSuccess;
  const bool managed = kind == MemoryBlock::Kind::kManaged;
  std::byte* const made = fresh_memory(bytes);
  if (!made) return cudaErrorMemoryAllocation;
  std::memset(made, kNeverWritten, bytes);
  for (const auto& device : r.devices)
    device->memory.add(made, bytes, ptx::Memory::Content::kWritten, managed ? "managed memory" : "pinned memory");
  r.blocks.add({made, bytes, Runtime::current(), kind, false, flags});
  *address = made;
  return cudaSuccess;
}

cudaError_t register_host(Runtime& r, void* address, size_t bytes, unsigned flags) {
  if (!address || bytes == 0) return cudaErrorInvalidValue;
  auto* const begin = static_cast<std::byte*>(address);
  for (const auto& [at, block] : r.blocks.all()) {
    if (at < begin + bytes && begin < at + block.bytes)
      return block.registered ? cudaErrorHostMemoryAlreadyRegistered : cudaErrorInvalidValue;
  }
  for (const auto& device : r.devices) device->memory.add(begin, bytes, ptx::Memory::Content::kWritten, "registered memory");
  r.blocks.add({begin, bytes, Runtime::current(), MemoryBlock::Kind::kPinned, true, flags});
  return cudaSuccess;
}

const MemoryBlock* find_mapped(const Runtime& r, const void* address) {
  const MemoryBlock* const block = r.blocks.find(address);
  const bool mapped = block && (block->kind == MemoryBlock::Kind::kPinned || block->kind == MemoryBlock::Kind::kManaged);
  return mapped ? block : nullptr;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMalloc(void** address, size_t bytes) {
  return call("cudaMalloc", Needs::kHealthy, [&](Runtime& r) { return allocate(r, address, bytes); });
}

// Waits for all work of the device, as CUDA does.
cudaError_t CUDARTAPI cudaFree(void* address) {
  return call("cudaFree", Needs::kHealthy, [&](Runtime& r) { return release(r, address); });
}

cudaError_t CUDARTAPI cudaHostAlloc(void** address, size_t bytes, unsigned flags) {
  return call("cudaHostAlloc", Needs::kHealthy,
              [&](Runtime& r) { return allocate_shared(r, address, bytes, MemoryBlock::Kind::kPinned, flags); });
}

cudaError_t CUDARTAPI cudaMallocHost(void** address, size_t bytes) {
  return call("cudaMallocHost", Needs::kHealthy,
              [&](Runtime& r) { return allocate_shared(r, address, bytes, MemoryBlock::Kind::kPinned, cudaHostAllocDefault); });
}

cudaError_t CUDARTAPI cudaMallocManaged(void** address, size_t bytes, unsigned flags) {
  return call("cudaMallocManaged", Needs::kHealthy, [&](Runtime& r) {
    if (bytes == 0 || (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost)) return cudaErrorInvalidValue;
    return allocate_shared(r, address, bytes, MemoryBlock::Kind::kManaged, flags);
  });
}

// Memory of the program's own, pinned from now on.
cudaError_t CUDARTAPI cudaHostRegister(void* address, size_t bytes, unsigned flags) {
  return call("cudaHostRegister", Needs::kHealthy, [&](Runtime& r) { return register_host(r, address, bytes, flags); });
}

cudaError_t CUDARTAPI cudaHostUnregister(void* address) {
  return call("cudaHostUnregister", Needs::kHealthy, [&](Runtime& r) {
    const MemoryBlock* const found = r.blocks.at(address);
    if (!found || !found->registered || found->kind != MemoryBlock::Kind::kPinned) return cudaErrorHostMemoryNotRegistered;
    release_shared(r, *found);
    return cudaSuccess;
  });
}

// Unified addressing: the device's pointer is the host's.
cudaError_t CUDARTAPI cudaHostGetDevicePointer(void** of_device, void* of_host, unsigned flags) {
  return call("cudaHostGetDevicePointer", Needs::kHealthy, [&](Runtime& r) {
    if (!of_device || flags != 0 || !find_mapped(r, of_host)) return cudaErrorInvalidValue;
    *of_device = of_host;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaHostGetFlags(unsigned* flags, void* address) {
  return call("cudaHostGetFlags", Needs::kHealthy, [&](Runtime& r) {
    const MemoryBlock* const block = r.blocks.find(address);
    if (!flags || !block || block->kind != MemoryBlock::Kind::kPinned) return cudaErrorInvalidValue;
    *flags = block->flags | cudaHostAllocMapped;
    return cudaSuccess;
  });
}

// Waits for all work of all devices: copies may still use it.
cudaError_t CUDARTAPI cudaFreeHost(void* address) {
  return call("cudaFreeHost", Needs::kHealthy, [&](Runtime& r) {
    if (!address) return cudaSuccess;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    const MemoryBlock* const found = r.blocks.at(address);
    if (!found || found->registered || found->kind != MemoryBlock::Kind::kPinned) return cudaErrorInvalidValue;
    release_shared(r, *found);
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
    const bool pinned = block->kind == MemoryBlock::Kind::kPinned, managed = block->kind == MemoryBlock::Kind::kManaged;
    attributes->type = pinned ? cudaMemoryTypeHost : managed ? cudaMemoryTypeManaged : cudaMemoryTypeDevice;
    attributes->devicePointer = const_cast<void*>(address);
    if (pinned || managed) attributes->hostPointer = const_cast<void*>(address);
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
