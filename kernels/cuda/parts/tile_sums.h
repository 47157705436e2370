// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/parts/mma.h"
#include "kernels/cuda/parts/reduce.h"
#include "kernels/cuda/parts/vector.h"

/// Tiles in shared memory, and a warp's part of their product: tensor cores for f16 and bf16, fused multiply-adds for f32.
namespace mirilla::MIRILLA_PLATFORM {

inline constexpr int kWarpN = 32;  // columns of Y per warp

template <class T>
inline constexpr int kChunk = 16 / sizeof(T);  // elements moved at once
template <class T>
inline constexpr int kTileDepth = 64 / sizeof(T);  // elements of a tile along k
inline constexpr int kMaxDepth = 1 << 30;          // limit of K: positions along k are ints

/// The position of the chunk at (row, k) of a tile; the coordinate that chunks run along is a multiple of kChunk. Lines of kRows or
/// kTileDepth elements, in which chunks are permuted differently from line to line (a swizzle), so that 8 chunks in a row and 8 in a column
/// both lie in different banks: neither put nor ldmatrix has a bank conflict.
template <class T, int kRows, bool kAlongK>
struct SharedTile {
  static __device__ __forceinline__ int offset(int row, int k) {
    constexpr int kLine = kAlongK ? kTileDepth<T> : kRows, kInLine = kLine / kChunk<T>;
    constexpr int kPattern = kInLine < 8 ? kInLine : 8, kLinesIn128Bytes = 8 / kPattern;
    const int line = kAlongK ? row : k, chunk = (kAlongK ? k : row) / kChunk<T>;
    return line * kLine + (chunk ^ (line / kLinesIn128Bytes % kPattern)) * kChunk<T>;
  }
  static __device__ __forceinline__ void put(T* tile, int row, int k, const Pack<T>& chunk) { store_shared(tile + offset(row, k), chunk); }
};

/// In f32 the rows of a tile are always contiguous, whichever way the chunks run: 4 rows of one k are read at once. Groups of 8 rows are
/// permuted, so that 4 chunks along k of 8 rows fall into 32 different banks.
template <int kRows, bool kAlongK>
struct SharedTile<float, kRows, kAlongK> {
  static __device__ __forceinline__ int offset(int row, int k) { return k * kRows + (row ^ ((k / 4 * 8) & (kRows - 1) & 24)); }
  static __device__ __forceinline__ void put(float* tile, int row, int k, const Pack<float>& chunk) {
    if constexpr (kAlongK) {
#pragma unroll
      for (int e = 0; e < 4; ++e) tile[offset(row, k + e)] = chunk[e];
    } else {
      store_shared(tile + offset(row, k), chunk);
    }
  }
};

/// The sums of a warp's kWarpM x kWarpN part of a block's tile.
///   add(a, b)           adds the product of two tiles in shared memory
///   stage(piece, room)  writes rows 16 piece .. 16 piece + 15 to the warp's room of kStageBytes, kStagePitch floats per row
/// The whole warp calls both.
template <class T, class Shape, bool kAlongKA, bool kAlongKB>
class WarpSums {
  using TileA = SharedTile<T, Shape::kM, kAlongKA>;
  using TileB = SharedTile<T, Shape::kN, kAlongKB>;
  static constexpr int kPieces = Shape::kWarpM / 16, kColumnPieces = kWarpN / 8;

 public:
  static constexpr int kStagePitch = kWarpN + 8, kStageBytes = 16 * kStagePitch * sizeof(float);

  __device__ __forceinline__ void add(const T* a, const T* b) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
    // This lane passes row `i` of matrix (low, high) of each ldmatrix.x4: rows of Y first in A, halves of k first in B.
    const int i = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16 * 8;
    const int m = warp / Shape::kWarpsN * Shape::kWarpM + low + (kAlongKA ? i : 0);
    const int n = warp % Shape::kWarpsN * kWarpN + high + (kAlongKB ? i : 0);
    const int k_a = high + (kAlongKA ? 0 : i), k_b = low + (kAlongKB ? 0 : i);
#pragma unroll
    for (int k = 0; k < kTileDepth<T>; k += 16) {
      const T* a_rows[kPieces];
      const T* b_rows[kColumnPieces / 2];
#pragma unroll
      for (int p = 0; p < kPieces; ++p) a_rows[p] = a + TileA::offset(m + 16 * p, k + k_a);
#pragma unroll
      for (int p = 0; p < kColumnPieces / 2; ++p) b_rows[p] = b + TileB::offset(n + 16 * p, k + k_b);
      mma_all<T, !kAlongKA, !kAlongKB, kPieces, kColumnPieces>(sums_, a_rows, b_rows);
    }
  }

  __device__ __forceinline__ void stage(int piece, float* room) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
    for (int p = 0; p < kColumnPieces; ++p)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vector<float, 2> pair{{sums_[piece][p][2 * half], sums_[piece][p][2 * half + 1]}};
        store_shared(room + (lane / 4 + 8 * half) * kStagePitch + 8 * p + lane % 4 * 2, pair);
      }
  }

 private:
  float sums_[kPieces][kColumnPieces][4] = {};
};

/// In f32 a lane computes 4 x 4 sums of each piece of 16 x 32.
template <class Shape, bool kAlongKA, bool kAlongKB>
class WarpSums<float, Shape, kAlongKA, kAlongKB> {
  using TileA = SharedTile<float, Shape::kM, kAlongKA>;
  using TileB = SharedTile<float, Shape::kN, kAlongKB>;
  static constexpr int kPieces = Shape::kWarpM / 16;

 public:
  static constexpr int kStagePitch = kWarpN + 8, kStageBytes = 16 * kStagePitch * sizeof(float);

  __device__ __forceinline__ void add(const float* a, const float* b) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int m = warp / Shape::kWarpsN * Shape::kWarpM + lane / 8 * 4, n = warp % Shape::kWarpsN * kWarpN + lane % 8 * 4;
#pragma unroll 4  // unrolling all 16 would need more registers than exist
    for (int k = 0; k < kTileDepth<float>; ++k) {
      const auto right = load<Pack<float>>(b + TileB::offset(n, k));
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        const auto left = load<Pack<float>>(a + TileA::offset(m + 16 * p, k));
#pragma unroll
        for (int row = 0; row < 4; ++row)
#pragma unroll
          for (int column = 0; column < 4; ++column) sums_[p][row][column] += left[row] * right[column];
      }
    }
  }

  __device__ __forceinline__ void stage(int piece, float* room) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
    for (int row = 0; row < 4; ++row) store_shared(room + (lane / 8 * 4 + row) * kStagePitch + lane % 8 * 4, sums_[piece][row]);
  }

 private:
  Pack<float> sums_[kPieces][4] = {};
};

}  // namespace mirilla::MIRILLA_PLATFORM
