// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

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

// For sm_90 nvcc splits many plain stores of a vector into pieces of 2 or 4 bytes, which ptxas does not put together again, so that
// each sector is written several times. Words of 4 bytes stay together in shared memory; in global memory only where the instruction is
// written out. For sm_120 nvcc splits nothing, and for sm_80 the same code costs registers that spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1000
inline constexpr bool kStoresWords = true;
#else
inline constexpr bool kStoresWords = false;
#endif

namespace detail {

/// Elements as words: two halves in each, or one f32.
template <class T, int N>
__device__ __forceinline__ auto words_of(const Vector<T, N>& v) {
  Vector<uint32_t, static_cast<int>(N * sizeof(T) / 4)> words;
#pragma unroll
  for (int i = 0; i < words.size; ++i)
    if constexpr (sizeof(T) == 2)
      words[i] = std::bit_cast<uint16_t>(v[2 * i]) | uint32_t{std::bit_cast<uint16_t>(v[2 * i + 1])} << 16;
    else
      words[i] = std::bit_cast<uint32_t>(v[i]);
  return words;
}

/// To global memory, by one instruction per 16 bytes.
template <int N>
__device__ __forceinline__ void store_words(void* address, const Vector<uint32_t, N>& r) {
#ifdef __CUDACC__
  const size_t at = __cvta_generic_to_global(address);
  if constexpr (N == 1)
    asm volatile("st.global.b32 [%0], %1;" ::"l"(at), "r"(r[0]) : "memory");
  else if constexpr (N == 2)
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(at), "r"(r[0]), "r"(r[1]) : "memory");
  else
#pragma unroll
    for (int i = 0; i < N; i += 4)
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(at + 4 * i), "r"(r[i]), "r"(r[i + 1]), "r"(r[i + 2]), "r"(r[i + 3])
                   : "memory");
#endif
}

}  // namespace detail

/// One access; the address must be aligned to the vector's size.
template <class V, class T>
__device__ __forceinline__ V load(const T* address) {
  return *assume_aligned(reinterpret_cast<const V*>(address));
}
/// To global memory.
template <class V, class T>
__device__ __forceinline__ void store(T* address, const V& v) {
  if constexpr (kStoresWords && (sizeof(T) == 2 || sizeof(T) == 4) && V::size > 1)
    detail::store_words(address, detail::words_of(v));
  else
    *assume_aligned(reinterpret_cast<V*>(address)) = v;
}
/// To the block's shared memory.
template <class V, class T>
__device__ __forceinline__ void store_shared(T* address, const V& v) {
  if constexpr (kStoresWords && sizeof(T) == 2 && V::size > 1)
    *assume_aligned(reinterpret_cast<Vector<uint32_t, V::size / 2>*>(address)) = detail::words_of(v);
  else
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
