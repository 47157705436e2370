// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/forms/float.h"
#include "kernels/ptx/types.h"

#include <bit>
#include <cmath>
#include <limits>

// The formats of numbers and the conversions between them.

namespace mirilla::ptx {

constexpr u32 kNanF32 = 0x7fffffffu;  // the NaN that a GPU's single-precision instructions give
constexpr u16 kNanHalf = 0x7fffu;     // of f16 and bf16

inline f32 nan_f32() { return std::bit_cast<f32>(kNanF32); }

/// A NaN becomes the GPU's NaN. An f64 NaN keeps its bits, as on a GPU.
inline f32 canonical(f32 x) { return x == x ? x : nan_f32(); }
inline f64 canonical(f64 x) { return x; }

/// A subnormal becomes a zero of its sign.
inline f32 flush(f32 x) {
  const u32 bits = std::bit_cast<u32>(x);
  return std::bit_cast<f32>((bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
}

// Written without branches, so that 32 of them are a few vector instructions.
inline f32 f32_of_half(u16 half) {
  const u32 magnitude = static_cast<u32>(half & 0x7fffu) << 13;
  const u32 sign = static_cast<u32>(half & 0x8000u) << 16;
  const u32 exponent = magnitude & (0x1fu << 23);
  const u32 normal = magnitude + (112u << 23);
  const u32 special = magnitude + (224u << 23);  // infinity and NaN
  const f32 subnormal = std::bit_cast<f32>(magnitude + (113u << 23)) - std::bit_cast<f32>(113u << 23);
  const u32 bits = exponent == 0 ? std::bit_cast<u32>(subnormal) : (exponent == (0x1fu << 23) ? special : normal);
  return std::bit_cast<f32>(sign | bits);
}

inline u16 half_of_f32(f32 value) {  // to nearest even
  const u32 bits = std::bit_cast<u32>(value);
  const u32 sign = (bits >> 16) & 0x8000u;
  const u32 magnitude = bits & 0x7fffffffu;
  const u32 normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const u32 subnormal = std::bit_cast<u32>(std::bit_cast<f32>(magnitude) + 0.5f) - std::bit_cast<u32>(0.5f);
  const u32 finite = magnitude < (113u << 23) ? subnormal : normal;
  const u32 large = magnitude > 0x7f800000u ? kNanHalf : 0x7c00u;
  return static_cast<u16>(magnitude > 0x7f800000u ? u32{kNanHalf} : (sign | (magnitude >= 0x477ff000u ? large : finite)));
}

inline f32 f32_of_bf16(u16 value) { return std::bit_cast<f32>(static_cast<u32>(value) << 16); }

inline u16 bf16_of_f32(f32 value) {  // to nearest even
  const u32 bits = std::bit_cast<u32>(value);
  const u32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<u16>((bits & 0x7fffffffu) > 0x7f800000u ? u32{kNanHalf} : rounded);
}

/// A double to a float, such that rounding the float to at most 22 bits gives what rounding the double directly would.
inline f32 to_odd(f64 value) {
  f32 nearest = static_cast<f32>(value);
  if (static_cast<f64>(nearest) == value || value != value) return nearest;
  u32 bits = std::bit_cast<u32>(nearest);
  if (std::fabs(static_cast<f64>(nearest)) > std::fabs(value)) --bits;  // towards zero
  return std::bit_cast<f32>(bits | 1u);
}

struct Half16 {
  static f32 wide(u16 bits) { return f32_of_half(bits); }
  static u16 narrow(f32 value) { return half_of_f32(value); }
};
struct Brain16 {
  static f32 wide(u16 bits) { return f32_of_bf16(bits); }
  static u16 narrow(f32 value) { return bf16_of_f32(value); }
};

/// A binary format: sign, exponent, fraction, from the top.
struct Format {
  int exponent_bits, fraction_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};
constexpr Format kFormatF16{5, 10}, kFormatBf16{8, 7}, kFormatTf32{8, 10}, kFormatF32{8, 23}, kFormatF64{11, 52};

/// A number as it is: (negative ? -1 : 1) * significand * 2^exponent.
struct Exact {
  enum class Kind : u8 { kFinite, kInfinite, kNan } kind = Kind::kFinite;
  bool negative = false;
  u64 significand = 0;
  int exponent = 0;
};

Exact exact_of(u64 bits, Format format);
Exact exact_of_integer(u64 bits, bool is_signed_type);
/// The bits of the nearest number of the format in the given rounding mode; the GPU's NaN for a NaN. Beyond the largest number: infinity,
/// or the largest where the rounding mode does not reach infinity.
u64 round_to(const Exact& number, Format format, Rounding rounding);
/// The number rounded to an integer in the given mode and clamped to the type's range. Not for a NaN.
u64 integer_of(const Exact& number, Rounding rounding, u32 bytes, bool is_signed_type);
/// Rounds to an integral value.
Exact integral(const Exact& number, Rounding rounding);

}  // namespace mirilla::ptx
