// SPDX-License-Identifier: MIT
#include "kernels/core/philox.h"
#include "tests/kernels/simt/support.h"

namespace mirilla::simt {
namespace {

// 113 bits hold every sum, product and fused product-sum of halves and of the bfloat16s drawn here without rounding.
__extension__ typedef __float128 Exact;

template <class T>
Exact exact(T x) {
  return static_cast<Exact>(static_cast<float>(x));
}

// The nearest T to an exact value, ties to even, found among the neighbours of a first guess by comparing distances.
template <class T>
T nearest(Exact x) {
  const T guess(static_cast<float>(x));
  if ((guess.bits & 0x7fffu) >= T(std::numeric_limits<float>::infinity()).bits) return guess;
  T best = guess;
  for (int step : {-1, 1}) {
    const T other = T::from_bits(static_cast<uint16_t>(guess.bits + step));
    if (((other.bits ^ guess.bits) & 0x8000u) != 0 || !std::isfinite(static_cast<float>(other))) continue;
    const Exact d = exact(other) - x, b = exact(best) - x;
    const Exact distance = d < 0 ? -d : d, least = b < 0 ? -b : b;
    if (distance < least || (distance == least && other.bits % 2 == 0)) best = other;
  }
  return best;
}

template <class T>
class SimtHalfArithmetic : public testing::Test {};
using HalfTypes = testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(SimtHalfArithmetic, HalfTypes);

TYPED_TEST(SimtHalfArithmetic, RoundsOnceToNearestEven) {
  const RandomKey key{.seed = 11};
  int checked = 0;
  for (uint32_t i = 0; i < 200000; ++i) {
    const auto words = key.block(i);
    auto pick = [](uint32_t word) {
      // bfloat16 exponents near 1, so that 113 bits are enough and results neither vanish nor overflow
      if constexpr (std::is_same_v<TypeParam, BFloat16>)
        return TypeParam::from_bits(static_cast<uint16_t>((word & 0x80ffu) | ((112u + (word >> 16) % 30u) << 7 & 0x7f80u)));
      return TypeParam::from_bits(static_cast<uint16_t>(word));
    };
    const TypeParam a = pick(words[0]), b = pick(words[1]), c = pick(words[2]);
    if (!std::isfinite(static_cast<float>(a)) || !std::isfinite(static_cast<float>(b)) || !std::isfinite(static_cast<float>(c))) continue;
    ++checked;
    const Exact product = exact(a) * exact(b);
    ASSERT_EQ(static_cast<float>(__hadd(a, b)), static_cast<float>(nearest<TypeParam>(exact(a) + exact(b))));
    ASSERT_EQ(static_cast<float>(__hsub(a, b)), static_cast<float>(nearest<TypeParam>(exact(a) - exact(b))));
    ASSERT_EQ(static_cast<float>(__hmul(a, b)), static_cast<float>(nearest<TypeParam>(product)));
    ASSERT_EQ(static_cast<float>(__hfma(a, b, c)), static_cast<float>(nearest<TypeParam>(product + exact(c))));
  }
  EXPECT_GT(checked, 150000);
}

TEST(SimtHalf, FusesWhereTwoRoundingsWouldDiffer) {
  // (1 + 2^-10)^2 = 1 + 2^-9 + 2^-20; less 1 + 2^-9 leaves 2^-20, which a rounded product would lose.
  const Half a(1 + 0x1p-10f), c(-(1 + 0x1p-9f));
  EXPECT_EQ(static_cast<float>(__hfma(a, a, c)), 0x1p-20f);
  EXPECT_EQ(static_cast<float>(__hadd(__hmul(a, a), c)), 0.0f);
}

TEST(SimtHalf, ReadsEveryHalfAsTheTypeItselfDoes) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const Half h = Half::from_bits(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(half_to_float(h)), std::bit_cast<uint32_t>(static_cast<float>(h)));
  }
}

__global__ void pairs(const __half2* x, __half2* y) {
  const unsigned i = threadIdx.x;
  y[i] = __hfma2(x[i], x[i], __floats2half2_rn(1.0f, -1.0f));
}

TEST(SimtHalf, WorksInPairs) {
  const Array<__half2> x(2), y(2);
  x[0] = __floats2half2_rn(2.0f, 3.0f);
  x[1] = __floats2half2_rn(0.5f, 70000.0f);
  Stream stream;
  launch<pairs>(stream, {1, 2}, x.data(), y.data());
  EXPECT_EQ(__half2float(y[0].x), 5.0f);
  EXPECT_EQ(__half2float(y[0].y), 8.0f);
  EXPECT_EQ(__half2float(y[1].x), 1.25f);
  EXPECT_TRUE(std::isinf(__half2float(y[1].y)));
}

}  // namespace
}  // namespace mirilla::simt
