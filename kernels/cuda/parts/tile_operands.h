// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "kernels/cuda/common.h"
#include "kernels/cuda/parts/tile_sums.h"

/// Operands and results of products by tiles (tile.h) that are plain matrices.
namespace mirilla::MIRILLA_PLATFORM {

/// Whether chunks of T may be read in one access: from lines of `extent` elements, one after the other, from this address on.
template <class T>
bool chunks_fit(const void* address, int64_t extent) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0 && extent % kChunk<T> == 0;
}

/// A dense matrix with `rows` lines along k (kAlongK), or with `depth` lines along its rows. kWide: load
/// whole chunks, where chunks_fit; else element by element.
template <class T, bool kAlongK_, bool kWide>
struct MatrixOperand {
  using Element = T;
  static constexpr bool kAlongK = kAlongK_;
  using Row = int64_t;
  using Depth = int;

  const T* data;
  int64_t rows;
  int extent;  // of k

  __device__ Row row(int64_t index) const { return index; }
  __device__ Depth depth(int k) const { return k; }
  __device__ __forceinline__ Pack<T> load(Row row, Depth k) const {
    Pack<T> chunk{};
    if (row >= rows || k >= extent) return chunk;
    const T* const from = data + (kAlongK ? row * extent + k : k * rows + row);
    if constexpr (kWide) return mirilla::MIRILLA_PLATFORM::load<Pack<T>>(from);
    const int64_t left = kAlongK ? extent - k : rows - row;
#pragma unroll
    for (int i = 0; i < kChunk<T>; ++i)
      if (i < left) chunk[i] = from[i];
    return chunk;
  }
};

/// The destination of the sums: an array of T or, with half inputs and kOrF32, of f32.
template <class T, bool kOrF32 = false>
struct Result {
  using Values = Vector<float, kChunk<T>>;
  void* data;
  bool f32;   // asked only of halves with kOrF32
  bool wide;  // 16 bytes may be written at once if `count` is at least a whole chunk

  /// Writes the first `count` values from element `offset` on.
  __device__ __forceinline__ void put(int64_t offset, const Values& values, int64_t count) const {
    if constexpr (kOrF32 && !std::is_same_v<T, float>) {
      if (f32) return put_as(static_cast<float*>(data) + offset, values, count);
    }
    put_as(static_cast<T*>(data) + offset, narrow_all<T>(values), count);
  }

 private:
  template <class U>
  __device__ __forceinline__ void put_as(U* to, const Vector<U, kChunk<T>>& values, int64_t count) const {
    constexpr int kAtOnce = 16 / sizeof(U);
    if (wide && count >= kChunk<T>) {
#pragma unroll
      for (int i = 0; i < kChunk<T>; i += kAtOnce) {
        Vector<U, kAtOnce> part;
#pragma unroll
        for (int e = 0; e < kAtOnce; ++e) part[e] = values[i + e];
        store(to + i, part);
      }
      return;
    }
#pragma unroll
    for (int i = 0; i < kChunk<T>; ++i)
      if (i < count) to[i] = values[i];
  }
};

template <class T, bool kOrF32 = false>
Result<T, kOrF32> result_of(const View& y) {
  const bool f32 = kOrF32 && y.dtype == DType::f32;
  return {f32 ? y.data<float>() : static_cast<void*>(y.data<T>()), f32, chunks_fit<T>(y.address, y.shape[-1])};
}

}  // namespace mirilla::MIRILLA_PLATFORM
