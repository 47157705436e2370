// SPDX-License-Identifier: MIT
// Copies and fills of one piece of memory.
#include "kernels/emulate/copies.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

bool exist(const Runtime& r, int one, int other) { return one >= 0 && one < r.settings.gpus && other >= 0 && other < r.settings.gpus; }

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", Needs::kHealthy, [&](Runtime& r) {
    return copy_on(r, {"cudaMemcpyAsync", kind, {{to, from, bytes}}}, stream);
  });
}

cudaError_t CUDARTAPI cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Needs::kHealthy, [&](Runtime& r) { return copy_now(r, {"cudaMemcpy", kind, {{to, from, bytes}}}); });
}

cudaError_t CUDARTAPI cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", Needs::kHealthy, [&](Runtime& r) {
    return fill_on(r, {"cudaMemsetAsync", {{to, nullptr, bytes}}, static_cast<unsigned>(value)}, stream);
  });
}

cudaError_t CUDARTAPI cudaMemset(void* to, int value, size_t bytes) {
  return call("cudaMemset", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    return fill_on(r, {"cudaMemset", {{to, nullptr, bytes}}, static_cast<unsigned>(value)}, nullptr);
  });
}

// The two GPUs need no access to each other's memory: a driver takes the way over the host then.
cudaError_t CUDARTAPI cudaMemcpyPeerAsync(void* to, int to_gpu, const void* from, int from_gpu, size_t bytes, cudaStream_t stream) {
  return call("cudaMemcpyPeerAsync", Needs::kHealthy, [&](Runtime& r) {
    if (!exist(r, to_gpu, from_gpu)) return cudaErrorInvalidDevice;
    return copy_on(r, {"cudaMemcpyPeerAsync", cudaMemcpyDeviceToDevice, {{to, from, bytes}}}, stream);
  });
}

// Comes after all work of both GPUs.
cudaError_t CUDARTAPI cudaMemcpyPeer(void* to, int to_gpu, const void* from, int from_gpu, size_t bytes) {
  return call("cudaMemcpyPeer", Needs::kHealthy, [&](Runtime& r) {
    if (!exist(r, to_gpu, from_gpu)) return cudaErrorInvalidDevice;
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    for (int gpu : {to_gpu, from_gpu}) r.drain(*r.devices[static_cast<size_t>(gpu)]);
    return copy_now(r, {"cudaMemcpyPeer", cudaMemcpyDeviceToDevice, {{to, from, bytes}}});
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
