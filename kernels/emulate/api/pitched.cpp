// SPDX-License-Identifier: MIT
// Memory whose rows begin at even addresses, and what copies and fills it.
#include "kernels/emulate/copies.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

constexpr size_t kPitchAlignment = 512;

cudaError_t allocate(void** address, size_t* pitch, size_t width, size_t rows) {
  if (!address || !pitch) return cudaErrorInvalidValue;
  *pitch = (width + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
  return cudaMalloc(address, *pitch * rows);
}

// 3D copies count their widths in bytes where no array takes part; arrays belong to textures.
cudaError_t copy_of(const char* name, const cudaMemcpy3DParms* asked, Copy* copy) {
  if (!asked) return cudaErrorInvalidValue;
  if (asked->srcArray || asked->dstArray)
    throw DeviceError(fmt::format("the program calls {} with an array: textures are not emulated", name));
  const auto begin = [](const cudaPitchedPtr& place, const cudaPos& position) {
    return static_cast<std::byte*>(place.ptr) + (position.z * place.ysize + position.y) * place.pitch + position.x;
  };
  if (!asked->srcPtr.ptr || !asked->dstPtr.ptr) return cudaErrorInvalidValue;
  const bool many = asked->extent.height > 1 || asked->extent.depth > 1;
  if (many && (asked->srcPtr.pitch < asked->extent.width || asked->dstPtr.pitch < asked->extent.width)) return cudaErrorInvalidPitchValue;
  *copy = {name, asked->kind,
           rows_of({begin(asked->dstPtr, asked->dstPos), asked->dstPtr.pitch, asked->dstPtr.ysize},
                   {begin(asked->srcPtr, asked->srcPos), asked->srcPtr.pitch, asked->srcPtr.ysize}, asked->extent)};
  return cudaSuccess;
}

cudaError_t copy_of(const char* name, void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows,
                    cudaMemcpyKind kind, Copy* copy) {
  if (to_pitch < width || from_pitch < width) return cudaErrorInvalidPitchValue;
  *copy = {name, kind, rows_of({to, to_pitch, rows}, {const_cast<void*>(from), from_pitch, rows}, {width, rows, 1})};
  return cudaSuccess;
}

cudaError_t fill_of(const char* name, void* to, size_t pitch, size_t plane_rows, int value, cudaExtent extent, Fill* fill) {
  if ((extent.height > 1 || extent.depth > 1) && pitch < extent.width) return cudaErrorInvalidPitchValue;
  *fill = {name, rows_of({to, pitch, plane_rows}, {}, extent), static_cast<unsigned>(value)};
  return cudaSuccess;
}

}  // namespace

cudaError_t copy_of(const cudaMemcpy3DParms* asked, Copy* copy) { return copy_of("a copy of a graph", asked, copy); }

extern "C" {

cudaError_t CUDARTAPI cudaMallocPitch(void** address, size_t* pitch, size_t width, size_t rows) {
  return call("cudaMallocPitch", Needs::kHealthy, [&](Runtime&) { return allocate(address, pitch, width, rows); });
}

cudaError_t CUDARTAPI cudaMalloc3D(cudaPitchedPtr* place, cudaExtent extent) {
  return call("cudaMalloc3D", Needs::kHealthy, [&](Runtime&) {
    if (!place) return cudaErrorInvalidValue;
    *place = {nullptr, 0, extent.width, extent.height};
    return allocate(&place->ptr, &place->pitch, extent.width, extent.height * extent.depth);
  });
}

cudaError_t CUDARTAPI cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows,
                                   cudaMemcpyKind kind) {
  return call("cudaMemcpy2D", Needs::kHealthy, [&](Runtime& r) {
    Copy copy;
    const cudaError_t wrong = copy_of("cudaMemcpy2D", to, to_pitch, from, from_pitch, width, rows, kind, &copy);
    return wrong ? wrong : copy_now(r, copy);
  });
}

cudaError_t CUDARTAPI cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows,
                                        cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", Needs::kHealthy, [&](Runtime& r) {
    Copy copy;
    const cudaError_t wrong = copy_of("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, width, rows, kind, &copy);
    return wrong ? wrong : copy_on(r, copy, stream);
  });
}

cudaError_t CUDARTAPI cudaMemcpy3D(const cudaMemcpy3DParms* asked) {
  return call("cudaMemcpy3D", Needs::kHealthy, [&](Runtime& r) {
    Copy copy;
    const cudaError_t wrong = copy_of("cudaMemcpy3D", asked, &copy);
    return wrong ? wrong : copy_now(r, copy);
  });
}

cudaError_t CUDARTAPI cudaMemcpy3DAsync(const cudaMemcpy3DParms* asked, cudaStream_t stream) {
  return call("cudaMemcpy3DAsync", Needs::kHealthy, [&](Runtime& r) {
    Copy copy;
    const cudaError_t wrong = copy_of("cudaMemcpy3DAsync", asked, &copy);
    return wrong ? wrong : copy_on(r, copy, stream);
  });
}

cudaError_t CUDARTAPI cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t rows, cudaStream_t stream) {
  return call("cudaMemset2DAsync", Needs::kHealthy, [&](Runtime& r) {
    Fill fill;
    const cudaError_t wrong = fill_of("cudaMemset2DAsync", to, pitch, rows, value, {width, rows, 1}, &fill);
    return wrong ? wrong : fill_on(r, fill, stream);
  });
}

cudaError_t CUDARTAPI cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t rows) {
  return call("cudaMemset2D", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    Fill fill;
    const cudaError_t wrong = fill_of("cudaMemset2D", to, pitch, rows, value, {width, rows, 1}, &fill);
    return wrong ? wrong : fill_on(r, fill, nullptr);
  });
}

cudaError_t CUDARTAPI cudaMemset3DAsync(cudaPitchedPtr to, int value, cudaExtent extent, cudaStream_t stream) {
  return call("cudaMemset3DAsync", Needs::kHealthy, [&](Runtime& r) {
    Fill fill;
    const cudaError_t wrong = fill_of("cudaMemset3DAsync", to.ptr, to.pitch, to.ysize, value, extent, &fill);
    return wrong ? wrong : fill_on(r, fill, stream);
  });
}

cudaError_t CUDARTAPI cudaMemset3D(cudaPitchedPtr to, int value, cudaExtent extent) {
  return call("cudaMemset3D", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_unsafe(r)) return refused;
    Fill fill;
    const cudaError_t wrong = fill_of("cudaMemset3D", to.ptr, to.pitch, to.ysize, value, extent, &fill);
    return wrong ? wrong : fill_on(r, fill, nullptr);
  });
}

// Only a struct; what it describes, an array, is refused.
cudaChannelFormatDesc CUDARTAPI cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) { return {x, y, z, w, kind}; }

}  // extern "C"

}  // namespace mirilla::emulate
