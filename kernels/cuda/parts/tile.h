// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/cuda/parts/tile_sums.h"

/// Y (M,N) = A (M,K) B (K,N) by tiles: what matmul and the three convolutions have in common. Each describes itself by a Problem:
///
///   Element                        f32, f16 or bf16
///   A, B; a, b                     the loaders of the operands, their types and objects
///   rows, columns                  M and N
///   enter(layer)                   called once in each block with blockIdx.z, before anything else is asked
///   first_depth(), last_depth()    the part [first, last) of K that this layer sums over
///   put(m, n, values)              takes sums (m, n..) of a Vector<float, 16 / sizeof(Element)>; m and n may lie outside
///
/// A loader gives 16-byte chunks of its operand, along k (kAlongK) or along the rows (of A; the columns of B), whichever is contiguous
/// in memory, with zeros outside the operand:
///
///   kAlongK
///   Row row(index), Depth depth(k)  what can be computed ahead, for the first element of a chunk
///   load(Row, Depth)                the chunk
///
/// A block computes a tile of Y. It walks along K in steps of 64 bytes: while its warps multiply one pair of tiles in shared memory, its
/// threads fetch their chunks of the next pair into registers; two buffers take turns, so that a step needs one barrier.
///
/// Sums are computed in the order of k. Nothing depends on the order of the blocks.
namespace mirilla::MIRILLA_PLATFORM {

/// A block's tile of Y, and a warp's part of it: kWarpM x 32. In f16 and bf16 at least kMinBlocks must fit on a multiprocessor, so that one
/// computes while others wait: their registers are limited to allow this. (f32 computes long enough on each tile, and would run out of
/// registers.)
template <int kM_, int kN_, int kWarpM_, int kMinBlocks_>
struct TileShape {
  static constexpr int kM = kM_, kN = kN_, kWarpM = kWarpM_, kMinBlocks = kMinBlocks_;
  static constexpr int kWarpsN = kN / kWarpN;
  static constexpr int kThreads = kWarpSize * (kM / kWarpM) * kWarpsN;
};
using LargeTile = TileShape<128, 128, 64, 2>;  // 256 threads
using MediumTile = TileShape<64, 64, 32, 4>;   // 128
using SmallTile = TileShape<16, 64, 16, 1>;    // 64; for the batch of a linear layer or the few pixels of the last stage

/// One thread's chunks of an operand: fetched from the operand, then put into a tile in shared memory.
template <class Loader, int kRows, int kThreads>
class TileFeed {
  using T = typename Loader::Element;
  using Shared = SharedTile<T, kRows, Loader::kAlongK>;
  static constexpr int kChunks = kRows * kTileDepth<T> / kChunk<T> / kThreads;
  static constexpr int kLine = (Loader::kAlongK ? kTileDepth<T> : kRows) / kChunk<T>;  // chunks side by side
  static constexpr int kLinesApart = kThreads / kLine;                                 // from one chunk of a thread to its next
  static_assert(kThreads % kLine == 0 && kChunks * kThreads * kChunk<T> == kRows * kTileDepth<T>);

 public:
  __device__ TileFeed(const Loader& loader, int64_t first_row) {
    if constexpr (Loader::kAlongK) {
#pragma unroll
      for (int i = 0; i < kChunks; ++i) rows_[i] = loader.row(first_row + line(i));
    } else {
      rows_[0] = loader.row(first_row + along());
    }
  }

  __device__ __forceinline__ void fetch(const Loader& loader, int k) {
    if constexpr (Loader::kAlongK) {
      const auto depth = loader.depth(k + along());
#pragma unroll
      for (int i = 0; i < kChunks; ++i) chunks_[i] = loader.load(rows_[i], depth);
    } else {
#pragma unroll
      for (int i = 0; i < kChunks; ++i) chunks_[i] = loader.load(rows_[0], loader.depth(k + line(i)));
    }
  }

  __device__ __forceinline__ void put(T* tile) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
      if constexpr (Loader::kAlongK)
        Shared::put(tile, line(i), along(), chunks_[i]);
      else
        Shared::put(tile, along(), line(i), chunks_[i]);
  }

 private:
  static __device__ __forceinline__ int line(int i) { return static_cast<int>(threadIdx.x) / kLine + i * kLinesApart; }
  static __device__ __forceinline__ int along() { return static_cast<int>(threadIdx.x) % kLine * kChunk<T>; }

  typename Loader::Row rows_[Loader::kAlongK ? kChunks : 1];
  Pack<T> chunks_[kChunks];
};

template <class T, class Shape>
inline constexpr size_t kTileBytes = 2 * (Shape::kM + Shape::kN) * kTileDepth<T> * sizeof(T);

template <class Shape, class Problem>
__global__ void __launch_bounds__(Shape::kThreads, sizeof(typename Problem::Element) == 2 ? Shape::kMinBlocks : 1)
    product_kernel(Problem problem) {
  using T = typename Problem::Element;
  using Sums = WarpSums<T, Shape, Problem::A::kAlongK, Problem::B::kAlongK>;
  constexpr int kDepth = kTileDepth<T>, kTileA = Shape::kM * kDepth, kTileB = Shape::kN * kDepth;
  static_assert(Shape::kThreads / kWarpSize * Sums::kStageBytes <= kTileBytes<T, Shape>);
  problem.enter(blockIdx.z);
  const int64_t tiles_n = (problem.columns + Shape::kN - 1) / Shape::kN;
  const int64_t m0 = blockIdx.x / tiles_n * Shape::kM, n0 = blockIdx.x % tiles_n * Shape::kN;
  T* const shared = dynamic_shared<T>();

  TileFeed<typename Problem::A, Shape::kM, Shape::kThreads> feed_a(problem.a, m0);
  TileFeed<typename Problem::B, Shape::kN, Shape::kThreads> feed_b(problem.b, n0);
  Sums sums;
  const int last = problem.last_depth();
  int k = problem.first_depth();
  if (k < last) feed_a.fetch(problem.a, k), feed_b.fetch(problem.b, k);
  for (int turn = 0; k < last; turn ^= 1) {
    T* const tile_a = shared + turn * (kTileA + kTileB);
    T* const tile_b = tile_a + kTileA;
    feed_a.put(tile_a);
    feed_b.put(tile_b);
    __syncthreads();
    k += kDepth;
    if (k < last) feed_a.fetch(problem.a, k), feed_b.fetch(problem.b, k);
    sums.add(tile_a, tile_b);
  }

  // The sums are spread over the warp. One piece of 16 rows at a time goes through shared memory, so that the result is written in rows.
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t m = m0 + warp / Shape::kWarpsN * Shape::kWarpM, n = n0 + warp % Shape::kWarpsN * kWarpN;
  float* const room = reinterpret_cast<float*>(shared) + warp * (Sums::kStageBytes / sizeof(float));
  using Values = Vector<float, kChunk<T>>;
  constexpr int kInRow = kWarpN / Values::size;
#pragma unroll
  for (int piece = 0; piece < Shape::kWarpM / 16; ++piece) {
    if (piece > 0) __syncwarp();  // the piece before has been read
    sums.stage(piece, room);
    __syncwarp();
#pragma unroll 1  // side by side they would take registers that spill
    for (int turn = 0; turn < 16 * kInRow / kWarpSize; ++turn) {
      const int i = turn * kWarpSize + lane, row = i / kInRow, column = i % kInRow * Values::size;
      problem.put(m + 16 * piece + row, n + column, load<Values>(room + row * Sums::kStagePitch + column));
    }
  }
}

template <class Shape>
int64_t tiles_of(int64_t rows, int64_t columns) {
  return ceil_div(rows, Shape::kM) * ceil_div(columns, Shape::kN);
}

/// Calls f.template operator()<Shape>() with the tile that suits `layers` products of this size: large tiles where there are enough to keep
/// the device busy, small tiles where larger ones would be mostly empty. Without 16-byte loads always the medium tile.
template <bool kWide, class F>
void with_tile(int64_t rows, int64_t columns, int64_t layers, F&& f) {
  if constexpr (kWide) {
    if (rows <= 2 * SmallTile::kM) return f.template operator()<SmallTile>();
    if (rows >= LargeTile::kM && columns >= LargeTile::kN && layers * tiles_of<LargeTile>(rows, columns) >= facts().multiprocessors)
      return f.template operator()<LargeTile>();
  }
  f.template operator()<MediumTile>();
}

template <class Shape, class Problem>
void launch_product(Stream& stream, const Problem& problem, int64_t layers = 1) {
  using T = typename Problem::Element;
  const auto tiles = static_cast<unsigned>(tiles_of<Shape>(problem.rows, problem.columns));
  launch<product_kernel<Shape, Problem>>(stream, {{tiles, 1, static_cast<unsigned>(layers)}, Shape::kThreads, kTileBytes<T, Shape>},
                                         problem);
}

}  // namespace mirilla::MIRILLA_PLATFORM
