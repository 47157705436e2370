// SPDX-License-Identifier: MIT
// Variables of the device, by the host's shadow of them.
#include "kernels/emulate/copies.h"
#include "kernels/emulate/modules.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

// The bytes [offset, offset + bytes) of the variable.
cudaError_t part_of(Runtime& r, const void* symbol, size_t offset, size_t bytes, std::byte** part) {
  const ptx::Variable* const variable = find_variable(r.device(), symbol);
  if (!variable) return cudaErrorInvalidSymbol;
  if (offset > variable->bytes || bytes > variable->bytes - offset) return cudaErrorInvalidValue;
  *part = reinterpret_cast<std::byte*>(variable->data) + offset;
  return cudaSuccess;
}

template <class F>
cudaError_t on_part(Runtime& r, const void* symbol, size_t offset, size_t bytes, F f) {
  std::byte* part = nullptr;
  if (const cudaError_t wrong = part_of(r, symbol, offset, bytes, &part)) return wrong;
  return f(part);
}

bool to_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
}
bool from_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return call("cudaMemcpyToSymbol", Needs::kHealthy, [&](Runtime& r) {
    if (!to_device(kind)) return cudaErrorInvalidMemcpyDirection;
    return on_part(r, symbol, offset, bytes, [&](std::byte* part) {
      return copy_now(r, {"cudaMemcpyToSymbol", kind, {{part, from, bytes}}});
    });
  });
}

cudaError_t CUDARTAPI cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return call("cudaMemcpyFromSymbol", Needs::kHealthy, [&](Runtime& r) {
    if (!from_device(kind)) return cudaErrorInvalidMemcpyDirection;
    return on_part(r, symbol, offset, bytes, [&](const std::byte* part) {
      return copy_now(r, {"cudaMemcpyFromSymbol", kind, {{to, part, bytes}}});
    });
  });
}

cudaError_t CUDARTAPI cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                              cudaStream_t stream) {
  return call("cudaMemcpyToSymbolAsync", Needs::kHealthy, [&](Runtime& r) {
    if (!to_device(kind)) return cudaErrorInvalidMemcpyDirection;
    return on_part(r, symbol, offset, bytes, [&](std::byte* part) {
      return copy_on(r, {"cudaMemcpyToSymbolAsync", kind, {{part, from, bytes}}}, stream);
    });
  });
}

cudaError_t CUDARTAPI cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                                cudaStream_t stream) {
  return call("cudaMemcpyFromSymbolAsync", Needs::kHealthy, [&](Runtime& r) {
    if (!from_device(kind)) return cudaErrorInvalidMemcpyDirection;
    return on_part(r, symbol, offset, bytes, [&](const std::byte* part) {
      return copy_on(r, {"cudaMemcpyFromSymbolAsync", kind, {{to, part, bytes}}}, stream);
    });
  });
}

cudaError_t CUDARTAPI cudaGetSymbolAddress(void** address, const void* symbol) {
  return call("cudaGetSymbolAddress", Needs::kHealthy, [&](Runtime& r) {
    return on_part(r, symbol, 0, 0, [&](std::byte* part) {
      *address = part;
      return cudaSuccess;
    });
  });
}

cudaError_t CUDARTAPI cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  return call("cudaGetSymbolSize", Needs::kHealthy, [&](Runtime& r) {
    const ptx::Variable* const variable = find_variable(r.device(), symbol);
    if (!variable) return cudaErrorInvalidSymbol;
    *bytes = variable->bytes;
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
