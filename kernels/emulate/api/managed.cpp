// SPDX-License-Identifier: MIT
// Advice about managed memory. There is one copy of it, so nothing moves.
#include "kernels/emulate/runtime.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

bool is_managed(const Runtime& r, const void* address, size_t bytes) {
  const MemoryBlock* const block = r.blocks.find(address);
  return block && block->kind == MemoryBlock::Kind::kManaged && bytes > 0 &&
         static_cast<const std::byte*>(address) + bytes <= block->begin + block->bytes;
}

bool exists(const Runtime& r, cudaMemLocation location) {
  return location.type != cudaMemLocationTypeDevice || (location.id >= 0 && location.id < r.settings.gpus);
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMemAdvise(const void* address, size_t bytes, cudaMemoryAdvise, cudaMemLocation location) {
  return call("cudaMemAdvise", Needs::kHealthy, [&](Runtime& r) {
    if (!is_managed(r, address, bytes)) return cudaErrorInvalidValue;
    return exists(r, location) ? cudaSuccess : cudaErrorInvalidDevice;
  });
}

cudaError_t CUDARTAPI cudaMemPrefetchAsync(const void* address, size_t bytes, cudaMemLocation location, unsigned flags,
                                           cudaStream_t handle) {
  return call("cudaMemPrefetchAsync", Needs::kHealthy, [&](Runtime& r) {
    if (flags != 0 || !is_managed(r, address, bytes)) return cudaErrorInvalidValue;
    if (!exists(r, location)) return cudaErrorInvalidDevice;
    return r.stream(handle) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t CUDARTAPI cudaStreamAttachMemAsync(cudaStream_t handle, void* address, size_t bytes, unsigned flags) {
  return call("cudaStreamAttachMemAsync", Needs::kHealthy, [&](Runtime& r) {
    const MemoryBlock* const block = r.blocks.find(address);
    if (!block || block->kind != MemoryBlock::Kind::kManaged || (bytes != 0 && bytes != block->bytes)) return cudaErrorInvalidValue;
    if (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost && flags != cudaMemAttachSingle) return cudaErrorInvalidValue;
    return r.stream(handle) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
