// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

namespace mirilla {

/// IEEE 754 binary16 as a storage type: 1 sign, 5 exponent, 10 fraction bits. Arithmetic happens in f32.
///
/// From f32 it rounds to nearest, ties to even; 65520 and more give infinity; subnormals are kept; a NaN stays a NaN and becomes quiet. To
/// f32 is exact, except that a NaN becomes quiet.
struct Half {
  uint16_t bits = 0;

  Half() = default;
  explicit constexpr Half(float value) : bits(from_float(value)) {}
  explicit constexpr operator float() const { return to_float(bits); }
  static constexpr Half from_bits(uint16_t bits) {
    Half h;
    h.bits = bits;
    return h;
  }

  static constexpr uint16_t from_float(float value);
  static constexpr float to_float(uint16_t bits);
};

/// bfloat16 as a storage type: the upper 16 bits of an f32, rounded to nearest, ties to even. To f32 is exact, except that a NaN becomes
/// quiet.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit constexpr BFloat16(float value) : bits(from_float(value)) {}
  explicit constexpr operator float() const {
    const uint32_t quiet = (bits & 0x7fffu) > 0x7f80u ? 0x400000u : 0u;  // a NaN, made quiet
    return std::bit_cast<float>((uint32_t{bits} << 16) | quiet);
  }
  static constexpr BFloat16 from_bits(uint16_t bits) {
    BFloat16 h;
    h.bits = bits;
    return h;
  }

  static constexpr uint16_t from_float(float value);
};

static_assert(sizeof(Half) == 2 && sizeof(BFloat16) == 2);

constexpr uint16_t Half::from_float(float value) {
  const uint32_t f = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (f >> 16) & 0x8000u;
  const uint32_t magnitude = f & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));  // NaN, made quiet
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {                                               // below 2^-14: a subnormal half, in units of 2^-24
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 102) return static_cast<uint16_t>(sign);  // below 2^-25: rounds to zero
    const uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t shift = 126 - exponent;
    const uint32_t kept = fraction >> shift;
    const uint32_t rest = fraction & ((1u << shift) - 1);
    const uint32_t tie = 1u << (shift - 1);
    const uint32_t up = rest > tie || (rest == tie && (kept & 1u)) ? 1u : 0u;
    return static_cast<uint16_t>(sign | (kept + up));
  }
  const uint32_t rebased = magnitude - (112u << 23);  // exponent bias 127 becomes 15
  const uint32_t up = 0xfffu + ((rebased >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rebased + up) >> 13));  // a carry into the exponent gives the right value
}

constexpr float Half::to_float(uint16_t bits) {
  const uint32_t sign = (uint32_t{bits} & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 31) {  // infinity; or NaN, made quiet as the processor's conversions do
    const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | (fraction << 13));
  }
  if (exponent == 0) {  // fraction * 2^-24 is exact in f32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

constexpr uint16_t BFloat16::from_float(float value) {
  const uint32_t f = std::bit_cast<uint32_t>(value);
  if ((f & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((f >> 16) | 0x40u);  // NaN, made quiet
  const uint32_t up = 0x7fffu + ((f >> 16) & 1u);
  return static_cast<uint16_t>((f + up) >> 16);
}

}  // namespace mirilla
