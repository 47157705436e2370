// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// N elements that are read or written in one access of N sizeof(T) bytes: 16 is the best size for a GPU's thread.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static constexpr int size = N;
  T values[N];

  __host__ __device__ T& operator[](int i) { return values[i]; }
  __host__ __device__ const T& operator[](int i) const { return values[i]; }
  __host__ __device__ T* begin() { return values; }
  __host__ __device__ T* end() { return values + N; }
  __host__ __device__ const T* begin() const { return values; }
  __host__ __device__ const T* end() const { return values + N; }
};

/// As many T as fit in 16 bytes.
template <class T>
using Pack = Vector<T, 16 / sizeof(T)>;

/// One access; the address must be aligned to the vector's size.
template <class V, class T>
__device__ __forceinline__ V load(const T* address) {
  return *assume_aligned(reinterpret_cast<const V*>(address));
}
template <class V, class T>
__device__ __forceinline__ void store(T* address, const V& v) {
  *assume_aligned(reinterpret_cast<V*>(address)) = v;
}

/// The same for the first `count` elements, where the last vector reaches past the tensor's end. `count` may be larger than the vector.
/// Missing elements read as T{} with all bits zero.
template <class V, class T>
__device__ __forceinline__ V load(const T* address, int64_t count) {
  if (count >= V::size) return load<V>(address);
  V v{};
  for (int i = 0; i < V::size; ++i)
    if (i < count) v[i] = address[i];
  return v;
}
template <class V, class T>
__device__ __forceinline__ void store(T* address, const V& v, int64_t count) {
  if (count >= V::size) return store(address, v);
  for (int i = 0; i < V::size; ++i)
    if (i < count) address[i] = v[i];
}

/// Element by element, in f32.
template <class T, int N>
__device__ __forceinline__ Vector<float, N> widen(const Vector<T, N>& v) {
  Vector<float, N> f;
  for (int i = 0; i < N; ++i) f[i] = widen(v[i]);
  return f;
}
template <class T, int N>
__device__ __forceinline__ Vector<T, N> narrow_all(const Vector<float, N>& f) {
  Vector<T, N> v;
  for (int i = 0; i < N; ++i) v[i] = narrow<T>(f[i]);
  return v;
}

}  // namespace mirilla::MIRILLA_PLATFORM
