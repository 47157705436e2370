// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/core/half.h"
#include "kernels/cuda/platform/platform.h"

/// The tensor cores: products of small matrices of f16 or bf16, summed in f32, by a whole warp at once. Each function here is one or a few
/// instructions of PTX, with a body for the GPU and one for the executor, and must be called by all 32 lanes.
///
/// ldmatrix.x4 loads four 8x8 matrices from shared memory. Lane 8 j + i passes the address of row i of matrix j, 8 elements, aligned to 16
/// bytes. Register j of lane 4 i + t then holds elements 2t (low half) and 2t + 1 of row i of matrix j; of column i, if kTransposed.
///
/// mma.m16n8k16 adds the product of A (16,16) and B (16,8) to D (16,8). With g = lane / 4 and t = lane % 4, a lane holds, low half first,
///
///   a[0] A(g, 2t..)   a[1] A(g + 8, 2t..)   a[2] A(g, 2t + 8..)   a[3] A(g + 8, 2t + 8..)      each two neighbours of a row
///   b[0] B(2t.., g)   b[1] B(2t + 8.., g)                                                      each two neighbours of a column
///   d[0] D(g, 2t)     d[1] D(g, 2t + 1)     d[2] D(g + 8, 2t)     d[3] D(g + 8, 2t + 1)
///
/// so that a is what ldmatrix gives for the quarters of A, top before bottom, left before right; and b is what it gives, not transposed,
/// for the columns of B as rows.
///                                                           [PTX ISA, "ldmatrix", "Matrix Fragments for mma.m16n8k16 with floating point"]
namespace mirilla::MIRILLA_PLATFORM {

/// Four registers of two halves each.
struct Quad {
  uint32_t r[4];
};

#ifdef __CUDACC__

template <bool kTransposed, class T>
__device__ __forceinline__ Quad ldmatrix(const T* row) {
  static_assert(sizeof(T) == 2);
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  Quad q;
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(q.r[0]), "=r"(q.r[1]), "=r"(q.r[2]), "=r"(q.r[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(q.r[0]), "=r"(q.r[1]), "=r"(q.r[2]), "=r"(q.r[3])
                 : "r"(address)
                 : "memory");
  return q;
}

template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const Quad& a, uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, Half>)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
}

/// kM x kN products: sums[i][j] += A_i B_j. a_rows[i] is this lane's address in ldmatrix for A_i; b_rows[j] that for B_2j and B_2j+1, whose
/// four halves come as first columns before last, upper before lower. kTransposeA: shared memory holds A's columns as rows; kTransposeB:
/// B's rows.
template <class T, bool kTransposeA, bool kTransposeB, int kM, int kN>
__device__ __forceinline__ void mma_all(float (&sums)[kM][kN][4], const T* const (&a_rows)[kM], const T* const (&b_rows)[kN / 2]) {
  Quad a[kM], b[kN / 2];
#pragma unroll
  for (int i = 0; i < kM; ++i) a[i] = ldmatrix<kTransposeA>(a_rows[i]);
#pragma unroll
  for (int j = 0; j < kN / 2; ++j) b[j] = ldmatrix<kTransposeB>(b_rows[j]);
#pragma unroll
  for (int i = 0; i < kM; ++i)
#pragma unroll
    for (int j = 0; j < kN; ++j) mma<T>(sums[i][j], a[i], b[j / 2].r[j % 2 * 2], b[j / 2].r[j % 2 * 2 + 1]);
}

#else

namespace detail {

template <class T>
T half_of(uint32_t pair, int upper) {
  return T::from_bits(static_cast<uint16_t>(pair >> (16 * upper)));
}

// D (16, kColumns) += A (16,16) B (16, kColumns), all in f32: a product of two halves is exact there.
template <int kColumns>
void add_product(const float (&a)[16][16], const float (&b)[16][kColumns], float (&d)[16][kColumns]) {
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < kColumns; ++column) d[row][column] += a[row][k] * b[k][column];
}

// The position in D of a lane's d[i].
inline int row_of(int lane, int i) { return lane / 4 + i / 2 * 8; }
inline int column_of(int lane, int i) { return lane % 4 * 2 + i % 2; }

}  // namespace detail

template <bool kTransposed, class T>
Quad ldmatrix(const T* row) {
  static_assert(sizeof(T) == 2);
  struct Load {
    const T* row;
    Quad q;
  } mine{row, {}};
  warp_collective(~0u, mine, [](std::span<Load*, kWarp> lanes) {
    for (Load* lane : lanes) check_aligned(lane->row, 16);
    for (int lane = 0; lane < kWarp; ++lane)
      for (int j = 0; j < 4; ++j) {
        const int i = lane / 4, t = lane % 4;
        uint32_t pair = 0;
        for (int e = 0; e < 2; ++e) {
          const int row_in = kTransposed ? 2 * t + e : i, column_in = kTransposed ? i : 2 * t + e;
          pair |= uint32_t{lanes[static_cast<size_t>(8 * j + row_in)]->row[column_in].bits} << (16 * e);
        }
        lanes[static_cast<size_t>(lane)]->q.r[j] = pair;
      }
  });
  return mine.q;
}

template <class T>
void mma(float (&d)[4], const Quad& a, uint32_t b0, uint32_t b1) {
  struct Product {
    float* d;
    Quad a;
    uint32_t b[2];
  } mine{d, a, {b0, b1}};
  warp_collective(~0u, mine, [](std::span<Product*, kWarp> lanes) {
    float wide_a[16][16], wide_b[16][8], sums[16][8];
    for (int lane = 0; lane < kWarp; ++lane) {
      const Product& p = *lanes[static_cast<size_t>(lane)];
      const int g = lane / 4, t = lane % 4;
      for (int e = 0; e < 2; ++e) {
        for (int j = 0; j < 4; ++j) wide_a[g + j % 2 * 8][2 * t + e + j / 2 * 8] = widen(detail::half_of<T>(p.a.r[j], e));
        for (int j = 0; j < 2; ++j) wide_b[2 * t + e + j * 8][g] = widen(detail::half_of<T>(p.b[j], e));
      }
      for (int i = 0; i < 4; ++i) sums[detail::row_of(lane, i)][detail::column_of(lane, i)] = p.d[i];
    }
    detail::add_product(wide_a, wide_b, sums);
    for (int lane = 0; lane < kWarp; ++lane)
      for (int i = 0; i < 4; ++i) lanes[static_cast<size_t>(lane)]->d[i] = sums[detail::row_of(lane, i)][detail::column_of(lane, i)];
  });
}

// In one meeting of the warp instead of kM + kN / 2 + kM kN for single ldmatrix and mma. The same bits.
template <class T, bool kTransposeA, bool kTransposeB, int kM, int kN>
void mma_all(float (&sums)[kM][kN][4], const T* const (&a_rows)[kM], const T* const (&b_rows)[kN / 2]) {
  struct Products {
    float (*sums)[kN][4];
    const T* const* a_rows;
    const T* const* b_rows;
  } mine{sums, a_rows, b_rows};
  warp_collective(~0u, mine, [](std::span<Products*, kWarp> lanes) {
    float b[16][8 * kN];
    for (int j = 0; j < kN / 2; ++j)
      for (int lane = 0; lane < kWarp; ++lane) {  // row lane % 8 of matrix lane / 8
        const T* const row = lanes[static_cast<size_t>(lane)]->b_rows[j];
        check_aligned(row, 16);
        const int k = lane / 8 % 2 * 8, column = 16 * j + lane / 16 * 8, i = lane % 8;
        for (int e = 0; e < 8; ++e) (kTransposeB ? b[k + i][column + e] : b[k + e][column + i]) = widen(row[e]);
      }
    for (int m = 0; m < kM; ++m) {
      float a[16][16], d[16][8 * kN];
      for (int lane = 0; lane < kWarp; ++lane) {
        const T* const from = lanes[static_cast<size_t>(lane)]->a_rows[m];
        check_aligned(from, 16);
        const int row = lane / 8 % 2 * 8, k = lane / 16 * 8, i = lane % 8;
        for (int e = 0; e < 8; ++e) (kTransposeA ? a[row + e][k + i] : a[row + i][k + e]) = widen(from[e]);
        for (int j = 0; j < kN; ++j)
          for (int r = 0; r < 4; ++r)
            d[detail::row_of(lane, r)][8 * j + detail::column_of(lane, r)] = lanes[static_cast<size_t>(lane)]->sums[m][j][r];
      }
      detail::add_product(a, b, d);
      for (int lane = 0; lane < kWarp; ++lane)
        for (int j = 0; j < kN; ++j)
          for (int r = 0; r < 4; ++r)
            lanes[static_cast<size_t>(lane)]->sums[m][j][r] = d[detail::row_of(lane, r)][8 * j + detail::column_of(lane, r)];
    }
  });
}

#endif

}  // namespace mirilla::MIRILLA_PLATFORM
