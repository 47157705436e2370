// SPDX-License-Identifier: MIT
#include "kernels/core/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/core/philox.h"

namespace mirilla {
namespace {

// Rounding as the standard defines it, in double, without the bit tricks of half.h: scale so that the last kept bit is worth one, round
// to nearest even, scale back.
struct Format {
  int precision;     // bits of the significand, the hidden one included
  int min_exponent;  // of the smallest normal number, 1 <= significand < 2
  int max_exponent;
};
constexpr Format kF16{11, -14, 15};
constexpr Format kBF16{8, -126, 127};

double slow_round(double x, Format format) {
  if (x == 0 || std::isinf(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);  // |x| = [0.5, 1) 2^exponent
  const int last_bit = std::max(exponent - 1, format.min_exponent) - (format.precision - 1);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -last_bit)), last_bit);
  return std::fabs(rounded) >= std::ldexp(1.0, format.max_exponent + 1) ? std::copysign(std::numeric_limits<double>::infinity(), x)
                                                                        : rounded;
}

// What the 16 bits mean, by the definition of the format.
double slow_value(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(1 + std::ldexp(fraction, -fraction_bits), exponent - bias);
}

template <class T>
struct Traits;
template <>
struct Traits<Half> {
  static constexpr Format format = kF16;
  static constexpr int exponent_bits = 5;
  static constexpr uint16_t quiet = 0x200, infinity = 0x7c00;
};
template <>
struct Traits<BFloat16> {
  static constexpr Format format = kBF16;
  static constexpr int exponent_bits = 8;
  static constexpr uint16_t quiet = 0x40, infinity = 0x7f80;
};

template <class T>
class Halves : public ::testing::Test {};
using Types = ::testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(Halves, Types);

template <class T>
void expect_rounds_as_slow(float x) {
  const double expected = slow_round(x, Traits<T>::format);
  const float got = static_cast<float>(T(x));
  ASSERT_EQ(got, expected) << std::hexfloat << x;
  ASSERT_EQ(std::signbit(got), std::signbit(x)) << std::hexfloat << x;
}

TYPED_TEST(Halves, MeanWhatTheStandardSaysForAll65536) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected = slow_value(static_cast<uint16_t>(bits), Traits<TypeParam>::exponent_bits);
    const float got = static_cast<float>(TypeParam::from_bits(static_cast<uint16_t>(bits)));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(got, expected) << bits;
      ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << bits;
    }
  }
}

TYPED_TEST(Halves, SurviveTheRoundTripThroughFloatForAll65536) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = TypeParam::from_bits(static_cast<uint16_t>(bits));
    const uint16_t back = TypeParam(static_cast<float>(half)).bits;
    const bool nan = (bits & 0x7fff) > Traits<TypeParam>::infinity;
    ASSERT_EQ(back, nan ? bits | Traits<TypeParam>::quiet : bits);  // a NaN keeps its payload and becomes quiet
  }
}

TYPED_TEST(Halves, RoundMidpointsToEvenAndTheirNeighboursToTheNearest) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (uint16_t bits = 0; bits + 1 < Traits<TypeParam>::infinity; ++bits) {
    const double low = static_cast<float>(TypeParam::from_bits(bits)), high = static_cast<float>(TypeParam::from_bits(bits + 1));
    const float middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(middle, (low + high) / 2) << "the midpoint must be a float for this test to mean anything";
    const uint16_t even = bits % 2 == 0 ? bits : static_cast<uint16_t>(bits + 1);
    ASSERT_EQ(TypeParam(middle).bits, even);
    ASSERT_EQ(TypeParam(-middle).bits, even | 0x8000);
    ASSERT_EQ(TypeParam(std::nextafter(middle, -kInfinity)).bits, bits);
    ASSERT_EQ(TypeParam(std::nextafter(middle, kInfinity)).bits, bits + 1);
    expect_rounds_as_slow<TypeParam>(middle);
  }
}

TYPED_TEST(Halves, RoundAnyFloatAsTheSlowImplementationDoes) {
  const RandomKey key{.seed = 1};
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    const float x = std::bit_cast<float>(key.bits(i));
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(TypeParam(x))));
    } else {
      expect_rounds_as_slow<TypeParam>(x);
    }
  }
}

TYPED_TEST(Halves, OverflowToInfinityExactlyWhereRoundingDoes) {
  const double largest = static_cast<float>(TypeParam::from_bits(Traits<TypeParam>::infinity - 1));
  const double next = std::ldexp(1.0, Traits<TypeParam>::format.max_exponent + 1);
  const auto threshold = static_cast<float>((largest + next) / 2);
  EXPECT_EQ(TypeParam(threshold).bits, Traits<TypeParam>::infinity);
  EXPECT_EQ(TypeParam(std::nextafter(threshold, 0.0f)).bits, Traits<TypeParam>::infinity - 1);
  EXPECT_EQ(TypeParam(-threshold).bits, Traits<TypeParam>::infinity | 0x8000);
  EXPECT_EQ(TypeParam(std::numeric_limits<float>::max()).bits, Traits<TypeParam>::infinity);
}

TYPED_TEST(Halves, KeepEveryNaNANaN) {
  // The payload's upper bits may all be zero, so that plain truncation would give an infinity.
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffc01234u})
    EXPECT_TRUE(std::isnan(static_cast<float>(TypeParam(std::bit_cast<float>(bits))))) << std::hex << bits;
}

}  // namespace
}  // namespace mirilla
