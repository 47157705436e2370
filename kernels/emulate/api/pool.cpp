// SPDX-License-Identifier: MIT
// Memory in stream order: it exists from its allocation to its release in the order of a stream. Recorded into a graph, its address is the
// graph's, and each launch allocates and releases it again.
#include "kernels/emulate/runtime.h"

#include <cstring>

namespace mirilla::emulate {

namespace {

Device* device_of(Runtime& r, cudaMemPool_t pool) {
  for (const auto& device : r.devices) {
    if (reinterpret_cast<cudaMemPool_t>(device.get()) == pool) return device.get();
  }
  const auto found = r.pools.find(pool);
  return found == r.pools.end() ? nullptr : r.devices[static_cast<size_t>(found->second)].get();
}

// Bytes of memory in stream order that are in use.
ptx::u64 in_use(const Runtime& r, const Device& device) {
  ptx::u64 bytes = 0;
  for (const auto& [begin, block] : r.blocks.all())
    bytes += block.kind == MemoryBlock::Kind::kStreamOrdered && block.device == device.index ? block.bytes : 0;
  return bytes;
}

void begin_to_exist(Device& device, std::byte* address, size_t bytes) {
  std::memset(address, kNeverWritten, bytes);
  device.memory.add(address, bytes, device.content());
}

cudaError_t allocate_in_graph(Runtime& r, CUstream_st& stream, Device& device, void** address, size_t bytes) {
  const auto block = std::make_shared<GraphBlock>(device.index, bytes);
  stream.capture->blocks[block->address] = block;
  submit(r, stream, work_of([&device, block] {
           device.execute([&] { begin_to_exist(device, block->address, block->bytes); });
           block->exists = true;
         }));
  *address = block->address;
  return cudaSuccess;
}

cudaError_t allocate(Runtime& r, Device& device, void** address, size_t bytes, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (!address || bytes == 0 || stream->device != device.index) return cudaErrorInvalidValue;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  const size_t from_pool = std::min(device.pool_kept, bytes);
  if (bytes - from_pool > device.free_bytes()) return cudaErrorMemoryAllocation;
  if (stream->capture) return allocate_in_graph(r, *stream, device, address, bytes);
  std::byte* const made = fresh_memory(bytes);
  if (!made) return cudaErrorMemoryAllocation;
  device.pool_kept -= from_pool;
  device.used += bytes - from_pool;
  r.blocks.add({made, bytes, device.index, MemoryBlock::Kind::kStreamOrdered});
  submit(r, *stream, work_of([&device, made, bytes] { device.execute([&] { begin_to_exist(device, made, bytes); }); }));
  *address = made;
  return cudaSuccess;
}

cudaError_t free_in_graph(Runtime& r, CUstream_st& stream, const void* address) {
  const auto found = stream.capture->blocks.find(address);
  if (found == stream.capture->blocks.end() || found->second->freed_inside) {
    stream.capture->broken = true;  // a graph releases only what it allocated, and once
    return cudaErrorInvalidValue;
  }
  const auto block = found->second;
  block->freed_inside = true;
  submit(r, stream, work_of([&device = *r.devices[static_cast<size_t>(block->device)], block] {
           device.execute([&] {
             std::memset(block->address, kFreed, block->bytes);
             device.memory.remove(block->address);
           });
           block->exists = false;
         }));
  return cudaSuccess;
}

cudaError_t release(Runtime& r, void* address, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (!address) return cudaSuccess;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (stream->capture) return free_in_graph(r, *stream, address);
  const MemoryBlock* const found = r.blocks.at(address);
  if (!found || (found->kind != MemoryBlock::Kind::kDevice && found->kind != MemoryBlock::Kind::kStreamOrdered))
    return cudaErrorInvalidValue;
  const MemoryBlock block = *found;
  Device& device = *r.devices[static_cast<size_t>(block.device)];
  r.blocks.remove(address);
  device.pool_kept += block.bytes;  // the next in the stream's order may have it
  submit(r, *stream, work_of([&r, &device, block] { device.execute([&] { r.blocks.retire(device, block.begin, block.bytes); }); }));
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMallocFromPoolAsync(void** address, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  return call("cudaMallocFromPoolAsync", Needs::kHealthy, [&](Runtime& r) {
    Device* const device = device_of(r, pool);
    if (!device) return cudaErrorInvalidValue;
    const cudaError_t status = allocate(r, *device, address, bytes, stream);
    return status == cudaSuccess && r.mistake == Mistake::Kind::kEarly ? release(r, *address, stream) : status;
  });
}

cudaError_t CUDARTAPI cudaMallocAsync(void** address, size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync", Needs::kHealthy, [&](Runtime& r) { return allocate(r, r.device(), address, bytes, stream); });
}

cudaError_t CUDARTAPI cudaFreeAsync(void* address, cudaStream_t stream) {
  return call("cudaFreeAsync", Needs::kHealthy, [&](Runtime& r) { return release(r, address, stream); });
}

cudaError_t CUDARTAPI cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int index) {
  return call("cudaDeviceGetDefaultMemPool", Needs::kHealthy, [&](Runtime& r) {
    if (index < 0 || index >= r.settings.gpus) return cudaErrorInvalidDevice;
    *pool = reinterpret_cast<cudaMemPool_t>(r.devices[static_cast<size_t>(index)].get());
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolSetAttribute", Needs::kHealthy, [&](Runtime& r) {
    Device* const device = device_of(r, pool);
    if (!device) return cudaErrorInvalidValue;
    if (attribute == cudaMemPoolAttrReleaseThreshold) device->pool_threshold = *static_cast<const ptx::u64*>(value);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolGetAttribute", Needs::kHealthy, [&](Runtime& r) {
    Device* const device = device_of(r, pool);
    if (!device || !value) return cudaErrorInvalidValue;
    const ptx::u64 used = in_use(r, *device);
    switch (attribute) {
      case cudaMemPoolReuseFollowEventDependencies:
      case cudaMemPoolReuseAllowOpportunistic:
      case cudaMemPoolReuseAllowInternalDependencies: *static_cast<int*>(value) = 1; break;
      case cudaMemPoolAttrReleaseThreshold: *static_cast<ptx::u64*>(value) = device->pool_threshold; break;
      case cudaMemPoolAttrUsedMemCurrent: *static_cast<ptx::u64*>(value) = used; break;
      case cudaMemPoolAttrReservedMemCurrent: *static_cast<ptx::u64*>(value) = used + device->pool_kept; break;
      default:
        throw DeviceError(
            fmt::format("the program asks for the attribute {} of a memory pool, which is not emulated", static_cast<int>(attribute)));
    }
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  return call("cudaMemPoolCreate", Needs::kHealthy, [&](Runtime& r) {
    if (!pool || !properties || properties->allocType != cudaMemAllocationTypePinned) return cudaErrorInvalidValue;
    if (properties->handleTypes != cudaMemHandleTypeNone)
      throw DeviceError("the program makes a memory pool for other processes, which is not emulated");
    if (properties->location.type != cudaMemLocationTypeDevice)
      throw DeviceError("the program makes a memory pool of the host, which is not emulated");
    if (properties->location.id < 0 || properties->location.id >= r.settings.gpus) return cudaErrorInvalidDevice;
    *pool = reinterpret_cast<cudaMemPool_t>(std::make_unique<char>().release());  // only its address counts
    r.pools[*pool] = properties->location.id;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolDestroy(cudaMemPool_t pool) {
  return call("cudaMemPoolDestroy", Needs::kHealthy, [&](Runtime& r) {
    if (r.pools.erase(pool) == 0) return cudaErrorInvalidValue;
    const std::unique_ptr<char> owned(reinterpret_cast<char*>(pool));
    return cudaSuccess;
  });
}

// A pool is open to its own device; another's access is peer access.
cudaError_t CUDARTAPI cudaMemPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* list, size_t count) {
  return call("cudaMemPoolSetAccess", Needs::kHealthy, [&](Runtime& r) {
    const Device* const device = device_of(r, pool);
    if (!device || !list) return cudaErrorInvalidValue;
    for (size_t k = 0; k < count; ++k) {
      if (list[k].location.type != cudaMemLocationTypeDevice || list[k].location.id != device->index)
        throw DeviceError("the program opens a memory pool to another GPU: peer access is not emulated");
    }
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location) {
  return call("cudaMemPoolGetAccess", Needs::kHealthy, [&](Runtime& r) {
    const Device* const device = device_of(r, pool);
    if (!device || !flags || !location) return cudaErrorInvalidValue;
    const bool own = location->type == cudaMemLocationTypeDevice && location->id == device->index;
    *flags = own ? cudaMemAccessFlagsProtReadWrite : cudaMemAccessFlagsProtNone;
    return cudaSuccess;
  });
}

// The pools of a device share its memory, so it does not matter which is the current one.
cudaError_t CUDARTAPI cudaDeviceSetMemPool(int index, cudaMemPool_t pool) {
  return call("cudaDeviceSetMemPool", Needs::kHealthy, [&](Runtime& r) {
    const Device* const device = device_of(r, pool);
    if (!device || device->index != index) return cudaErrorInvalidValue;
    r.devices[static_cast<size_t>(index)]->pool = pool;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceGetMemPool(cudaMemPool_t* pool, int index) {
  return call("cudaDeviceGetMemPool", Needs::kHealthy, [&](Runtime& r) {
    if (index < 0 || index >= r.settings.gpus) return cudaErrorInvalidDevice;
    Device& device = *r.devices[static_cast<size_t>(index)];
    *pool = device.pool ? device.pool : reinterpret_cast<cudaMemPool_t>(&device);
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep) {
  return call("cudaMemPoolTrimTo", Needs::kHealthy, [&](Runtime& r) {
    Device* const device = device_of(r, pool);
    if (!device) return cudaErrorInvalidValue;
    device->trim(keep);
    return cudaSuccess;
  });
}

// The memory of a graph is given back with the graph.
cudaError_t CUDARTAPI cudaDeviceGraphMemTrim(int index) {
  return call("cudaDeviceGraphMemTrim", Needs::kHealthy,
              [&](Runtime& r) { return index < 0 || index >= r.settings.gpus ? cudaErrorInvalidDevice : cudaSuccess; });
}

}  // extern "C"

}  // namespace mirilla::emulate
