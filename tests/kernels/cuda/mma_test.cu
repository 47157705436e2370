// SPDX-License-Identifier: MIT
// The tensor cores' instructions as implemented by the executor, against the layouts of the PTX ISA, element by element. Compiled
// for the executor, as the kernels' sources are for 'simt'.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/parts/mma.h"
#include "kernels/cuda/parts/vector.h"

namespace mirilla::simt {
namespace {

// Runs f once in each lane of one warp.
template <class F>
void in_a_warp(F f, size_t shared_bytes = 0) {
  run_grid({.kernel = "in_a_warp", .grid = {1}, .block = {32}, .shared_bytes = shared_bytes, .thread = f});
}

TEST(Mma, LdmatrixGivesEachLaneTwoNeighboursOfARow) {
  uint32_t got[32][4], transposed[32][4];
  in_a_warp(
      [&] {
        const int lane = static_cast<int>(threadIdx.x);
        Half* const row = dynamic_shared<Half>() + lane * 8;
        for (int e = 0; e < 8; ++e) row[e] = Half::from_bits(static_cast<uint16_t>(lane * 8 + e));  // 64 j + 8 row + column
        __syncwarp();
        const Quad q = ldmatrix<false>(row), t = ldmatrix<true>(row);
        for (int j = 0; j < 4; ++j) got[lane][j] = q.r[j], transposed[lane][j] = t.r[j];
      },
      32 * 16);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t g = lane / 4, t = lane % 4;
      const uint32_t first = 64 * j + 8 * g + 2 * t, down = 64 * j + 8 * (2 * t) + g;
      EXPECT_EQ(got[lane][j], first | (first + 1) << 16) << "lane " << lane << ", register " << j;
      EXPECT_EQ(transposed[lane][j], down | (down + 8) << 16) << "lane " << lane << ", register " << j;
    }
}

TEST(Mma, LdmatrixWantsAlignedRows) {
  EXPECT_THROW(in_a_warp([] { ldmatrix<false>(dynamic_shared<Half>() + 1); }, 64), DeviceError);
}

template <class T>
class MmaOf : public testing::Test {};
using Halves = testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(MmaOf, Halves);

// Small integers: every product and sum is exact, so any order of summation gives these bits, also on a GPU.
TYPED_TEST(MmaOf, MultipliesByTheLayoutOfThePtxIsa) {
  using T = TypeParam;
  int a[16][16], b[16][8], d[16][8];
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 16; ++k) a[i][k] = (i * 7 + k * 3) % 16 - 5;
  for (int k = 0; k < 16; ++k)
    for (int j = 0; j < 8; ++j) b[k][j] = (k * 5 + j * 11) % 13 - 6;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) d[i][j] = 100 * i + j;
  float got[16][8];
  in_a_warp([&] {
    const int lane = static_cast<int>(threadIdx.x), group = lane >> 2, in_group = lane % 4;
    const auto pack = [](int low, int high) {
      return uint32_t{T(static_cast<float>(low)).bits} | uint32_t{T(static_cast<float>(high)).bits} << 16;
    };
    int of_a[8], of_b[4];  // as the ISA numbers a fragment's elements
    for (int i = 0; i < 8; ++i) {
      const int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
      const int column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
      of_a[i] = a[row][column];
    }
    for (int i = 0; i < 4; ++i) of_b[i] = b[i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8][group];
    float sums[4];
    for (int i = 0; i < 4; ++i) sums[i] = static_cast<float>(d[i < 2 ? group : group + 8][in_group * 2 + (i & 1)]);
    mma<T>(sums, Quad{{pack(of_a[0], of_a[1]), pack(of_a[2], of_a[3]), pack(of_a[4], of_a[5]), pack(of_a[6], of_a[7])}},
           pack(of_b[0], of_b[1]), pack(of_b[2], of_b[3]));
    for (int i = 0; i < 4; ++i) got[i < 2 ? group : group + 8][in_group * 2 + (i & 1)] = sums[i];
  });
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      int want = d[i][j];
      for (int k = 0; k < 16; ++k) want += a[i][k] * b[k][j];
      EXPECT_EQ(got[i][j], static_cast<float>(want)) << i << ", " << j;
    }
}

// On a GPU mma_all is what this composes: the two instructions, in this order.
template <class T, bool kTransposeA, bool kTransposeB>
void expect_all_as_one_by_one() {
  constexpr int kM = 2, kN = 4;
  int differences = 0;
  in_a_warp(
      [&] {
        const int lane = static_cast<int>(threadIdx.x);
        T* const shared = dynamic_shared<T>();  // lane's row of each of kM + kN / 2 quads of matrices
        for (int i = 0; i < (kM + kN / 2) * 8; ++i)
          shared[lane * (kM + kN / 2) * 8 + i] = T(static_cast<float>((lane * 37 + i * 101) % 199 - 99) / 64.0f);
        __syncwarp();
        const T *a_rows[kM], *b_rows[kN / 2];
        for (int i = 0; i < kM; ++i) a_rows[i] = shared + (i * 32 + lane) * 8;
        for (int j = 0; j < kN / 2; ++j) b_rows[j] = shared + ((kM + j) * 32 + lane) * 8;
        float all[kM][kN][4], one[kM][kN][4];
        for (int i = 0; i < kM; ++i)
          for (int j = 0; j < kN; ++j)
            for (int r = 0; r < 4; ++r) all[i][j][r] = one[i][j][r] = static_cast<float>(lane - i * j + r) / 7;
        mma_all<T, kTransposeA, kTransposeB, kM, kN>(all, a_rows, b_rows);
        for (int i = 0; i < kM; ++i)
          for (int j = 0; j < kN; ++j) {
            const Quad a = ldmatrix<kTransposeA>(a_rows[i]), b = ldmatrix<kTransposeB>(b_rows[j / 2]);
            mma<T>(one[i][j], a, b.r[j % 2 * 2], b.r[j % 2 * 2 + 1]);
            for (int r = 0; r < 4; ++r) differences += all[i][j][r] != one[i][j][r];
          }
      },
      (kM + kN / 2) * 32 * 16);
  EXPECT_EQ(differences, 0);
}

TYPED_TEST(MmaOf, AllAtOnceIsTheSameAsOneByOne) {
  expect_all_as_one_by_one<TypeParam, false, false>();
  expect_all_as_one_by_one<TypeParam, false, true>();
  expect_all_as_one_by_one<TypeParam, true, false>();
  expect_all_as_one_by_one<TypeParam, true, true>();
}

}  // namespace
}  // namespace mirilla::simt
