// SPDX-License-Identifier: MIT
// Functions of the host in the order of a stream. They run inside the call that waits for them; where the program waits in another way, a
// thread of ours runs them (Runtime::watch).
#include "kernels/emulate/runtime.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

cudaError_t submit_host(Runtime& r, cudaStream_t handle, const std::function<void(cudaError_t)>& f, bool despite_errors) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  Device& device = *r.devices[static_cast<size_t>(stream->device)];
  Work work = work_of([&device, f, despite_errors] {
    if (device.broken == cudaSuccess || despite_errors) f(device.broken);
  });
  work.type = cudaGraphNodeTypeHost;
  submit(r, *stream, std::move(work));
  r.watch();
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call("cudaLaunchHostFunc", Needs::kHealthy, [&](Runtime& r) {
    if (!function) return cudaErrorInvalidValue;
    return submit_host(
        r, stream, [function, data](cudaError_t) { function(data); }, false);
  });
}

// It is told the stream's error, so it runs after one too.
cudaError_t CUDARTAPI cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* data, unsigned flags) {
  return call("cudaStreamAddCallback", Needs::kHealthy, [&](Runtime& r) {
    if (!function || flags != 0) return cudaErrorInvalidValue;
    return submit_host(
        r, stream, [stream, function, data](cudaError_t status) { function(stream, status, data); }, true);
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
