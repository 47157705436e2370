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
  return nullptr;
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
  if (!found || found->kind == MemoryBlock::Kind::kPinned) return cudaErrorInvalidValue;
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
    return device ? allocate(r, *device, address, bytes, stream) : cudaErrorInvalidValue;
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
