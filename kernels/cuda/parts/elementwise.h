// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/common.h"

/// y[i] = f(x[i] ...) for tensors of n elements: one kernel for all operations of this form, which differ only in f.
namespace mirilla::MIRILLA_PLATFORM {

/// Whether one access of `bytes` may start at this address. A tensor's memory is aligned to 256 bytes, a slice of it to its element.
inline bool is_aligned(const void* address, size_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

/// load and store, in one access where the address allows it (Aligned), else element by element.
template <class V, bool Aligned, class T>
__device__ __forceinline__ V load_where(const T* address, int64_t count) {
  if constexpr (Aligned) return load<V>(address, count);
  V v{};
  for (int i = 0; i < V::size; ++i)
    if (i < count) v[i] = address[i];
  return v;
}
template <bool Aligned, class V, class T>
__device__ __forceinline__ void store_where(T* address, const V& v, int64_t count) {
  if constexpr (Aligned) return store(address, v, count);
  for (int i = 0; i < V::size; ++i)
    if (i < count) address[i] = v[i];
}

inline constexpr int kVectorsAtOnce = 2;  // per thread and tensor

/// f(i, x...) gives the Vector<Y, N> at element i, a multiple of N, from a Vector<X, N> of each input. An input may be y itself: each
/// element is read by the thread that then writes it, so there is no __restrict__ here.
template <bool Aligned, int N, class F, class Y, class... X>
__global__ void map_kernel(F f, int64_t n, Y* y, const X*... x) {
  const int64_t step = static_cast<int64_t>(blockDim.x) * N;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kVectorsAtOnce * blockDim.x + threadIdx.x) * N;
  for (int64_t i = first; i < n; i += gridDim.x * kVectorsAtOnce * step) {
    if (Aligned && i + (kVectorsAtOnce - 1) * step + N <= n) {  // all vectors are whole: no branch between the loads
      Vector<Y, N> values[kVectorsAtOnce];
#pragma unroll
      for (int k = 0; k < kVectorsAtOnce; ++k) values[k] = f(i + k * step, load<Vector<X, N>>(x + i + k * step)...);
#pragma unroll
      for (int k = 0; k < kVectorsAtOnce; ++k) store(y + i + k * step, values[k]);
    } else {
      for (int64_t j = i; j < n && j < i + kVectorsAtOnce * step; j += step)
        store_where<Aligned>(y + j, f(j, load_where<Vector<X, N>, Aligned>(x + j, n - j)...), n - j);
    }
  }
}

/// Runs the kernel: the widest type among y and the inputs fills 16 bytes per access.
template <class F, class Y, class... X>
void map(Stream& stream, int64_t n, const F& f, Y* y, const X*... x) {
  if (n == 0) return;
  constexpr int kCount = static_cast<int>(16 / std::max({sizeof(Y), sizeof(X)...}));
  const bool aligned = is_aligned(y, sizeof(Y) * kCount) && (is_aligned(x, sizeof(X) * kCount) && ...);
  const LaunchShape shape{blocks_for(n, kBlock * kVectorsAtOnce * kCount), kBlock};
  if (aligned)
    launch<map_kernel<true, kCount, F, Y, X...>>(stream, shape, f, n, y, x...);
  else
    launch<map_kernel<false, kCount, F, Y, X...>>(stream, shape, f, n, y, x...);
}

}  // namespace mirilla::MIRILLA_PLATFORM
