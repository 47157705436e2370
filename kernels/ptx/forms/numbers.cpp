// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/numbers.h"

#include <algorithm>

namespace mirilla::ptx {

namespace {

// significand >> shift, rounded; `shift` may be anything above 0.
u64 shift_right(u64 significand, int shift, bool negative, Rounding rounding) {
  if (shift <= 0) return significand;
  const u64 kept = shift > 63 ? 0 : significand >> shift;
  const u64 rest = shift > 63 ? significand : significand & ((u64{1} << shift) - 1);
  const u64 half = shift > 64 ? 0 : u64{1} << (shift - 1);
  const bool above = shift <= 64 && rest > half, tie = shift <= 64 && rest == half && half != 0;
  bool up = false;
  switch (rounding) {
    case Rounding::kNone:
    case Rounding::kNearest: up = above || (tie && (kept & 1)); break;
    case Rounding::kNearestAway: up = above || tie; break;
    case Rounding::kZero: break;
    case Rounding::kDown: up = negative && rest != 0; break;
    case Rounding::kUp: up = !negative && rest != 0; break;
  }
  return kept + (up ? 1 : 0);
}

}  // namespace

Exact exact_of(u64 bits, Format format) {
  Exact number;
  const u64 fraction = bits & ((u64{1} << format.fraction_bits) - 1);
  const int exponent = static_cast<int>(bits >> format.fraction_bits & ((u64{1} << format.exponent_bits) - 1));
  number.negative = bits >> (format.exponent_bits + format.fraction_bits) & 1;
  if (exponent == (1 << format.exponent_bits) - 1) {
    number.kind = fraction ? Exact::Kind::kNan : Exact::Kind::kInfinite;
    return number;
  }
  number.significand = exponent ? fraction | u64{1} << format.fraction_bits : fraction;
  number.exponent = std::max(exponent, 1) - format.bias() - format.fraction_bits;
  return number;
}

Exact exact_of_integer(u64 bits, bool is_signed_type) {
  Exact number;
  number.negative = is_signed_type && static_cast<s64>(bits) < 0;
  number.significand = number.negative ? 0 - bits : bits;
  return number;
}

u64 round_to(const Exact& number, Format format, Rounding rounding) {
  const int width = format.exponent_bits + format.fraction_bits;
  const u64 sign = u64{number.negative} << width;
  const u64 infinity = ((u64{1} << format.exponent_bits) - 1) << format.fraction_bits;
  if (number.kind == Exact::Kind::kNan)
    return format.exponent_bits == 11 ? 0x7ff8000000000000ull : infinity | ((u64{1} << format.fraction_bits) - 1);
  if (number.kind == Exact::Kind::kInfinite) return sign | infinity;
  if (number.significand == 0) return sign;
  const int top = 63 - std::countl_zero(number.significand);   // the value is in [2^(top+exponent), 2 of that)
  const int least = 1 - format.bias() - format.fraction_bits;  // weight of the lowest bit of a subnormal
  const int lowest = std::max(number.exponent + top - format.fraction_bits, least);
  const int shift = lowest - number.exponent;
  u64 kept = shift > 0 ? shift_right(number.significand, shift, number.negative, rounding) : number.significand << -shift;
  int exponent = lowest;
  if (kept >> (format.fraction_bits + 1)) {
    kept >>= 1;
    ++exponent;
  }
  const bool normal = kept >> format.fraction_bits & 1;
  const int field = normal ? exponent + format.fraction_bits + format.bias() : 0;
  if (field >= (1 << format.exponent_bits) - 1) {
    const bool stays =
        rounding == Rounding::kZero || (rounding == Rounding::kDown && !number.negative) || (rounding == Rounding::kUp && number.negative);
    return sign | (stays ? infinity - 1 : infinity);
  }
  return sign | static_cast<u64>(field) << format.fraction_bits | (kept & ((u64{1} << format.fraction_bits) - 1));
}

Exact integral(const Exact& number, Rounding rounding) {
  Exact result = number;
  if (number.kind != Exact::Kind::kFinite || number.exponent >= 0) return result;
  result.significand = shift_right(number.significand, -number.exponent, number.negative, rounding);
  result.exponent = 0;
  return result;
}

u64 integer_of(const Exact& number, Rounding rounding, u32 bytes, bool is_signed_type) {
  const u64 most = is_signed_type ? (u64{1} << (8 * bytes - 1)) - 1 : bytes == 8 ? ~u64{0} : (u64{1} << (8 * bytes)) - 1;
  const u64 least = is_signed_type ? most + 1 : 0;  // the magnitude of the least value
  const u64 limit = number.negative ? least : most;
  u64 magnitude = limit;
  const Exact whole = integral(number, rounding);
  if (number.kind == Exact::Kind::kFinite && whole.significand == 0)
    magnitude = 0;
  else if (number.kind == Exact::Kind::kFinite && whole.exponent < 64 && std::countl_zero(whole.significand) >= whole.exponent) {
    magnitude = std::min(whole.significand << whole.exponent, limit);
  }
  return number.negative ? 0 - magnitude : magnitude;
}

}  // namespace mirilla::ptx
