// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/core/half.h"

/// CUDA's half and bfloat16 types and their arithmetic: each operation is rounded once, to nearest even, as on the GPU; __hfma rounds
/// the exact a b + c once. Compared bit by bit with exact arithmetic in tests/kernels/simt.
namespace mirilla::simt {

using __half = Half;
using __nv_bfloat16 = BFloat16;
struct alignas(4) __half2 {
  Half x, y;
};
struct alignas(4) __nv_bfloat162 {
  BFloat16 x, y;
};

/// All 65,536 halves, since a look-up is several times faster than converting the bits.
const std::array<float, 65536>& half_table();
inline float half_to_float(Half h) {
  static const float* const table = half_table().data();
  return table[h.bits];
}

namespace detail {
// Rounds to f32 so that a second rounding, to 22 bits or fewer, gives what one rounding would: truncates, and sets the last bit if anything
// was lost.
inline float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  const auto back = static_cast<double>(nearest);
  if (back == x || !std::isfinite(nearest) || std::isnan(x)) return nearest;
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(back) > std::abs(x)) --bits;  // towards zero
  return std::bit_cast<float>(bits | 1u);
}
template <class T>
T rounded(double x) {
  return T(round_to_odd(x));
}
}  // namespace detail

inline float __half2float(__half x) { return half_to_float(x); }
inline __half __float2half_rn(float x) { return Half(x); }
inline __half __float2half(float x) { return Half(x); }
inline float __bfloat162float(__nv_bfloat16 x) { return static_cast<float>(x); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return BFloat16(x); }
inline __half2 __floats2half2_rn(float x, float y) { return {Half(x), Half(y)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {BFloat16(x), BFloat16(y)}; }

// Sums and products of two are exact in f64; a b + c is too, or so far from a tie that its rounding does not matter.
template <class T>
concept HalfType = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <HalfType T>
T __hadd(T a, T b) {
  return detail::rounded<T>(double{static_cast<float>(a)} + double{static_cast<float>(b)});
}
template <HalfType T>
T __hsub(T a, T b) {
  return detail::rounded<T>(double{static_cast<float>(a)} - double{static_cast<float>(b)});
}
template <HalfType T>
T __hmul(T a, T b) {
  return detail::rounded<T>(double{static_cast<float>(a)} * double{static_cast<float>(b)});
}
template <HalfType T>
T __hfma(T a, T b, T c) {
  return detail::rounded<T>(std::fma(double{static_cast<float>(a)}, double{static_cast<float>(b)}, double{static_cast<float>(c)}));
}

template <class T>
concept HalfPair = std::is_same_v<T, __half2> || std::is_same_v<T, __nv_bfloat162>;
template <HalfPair T>
T __hadd2(T a, T b) {
  return {__hadd(a.x, b.x), __hadd(a.y, b.y)};
}
template <HalfPair T>
T __hsub2(T a, T b) {
  return {__hsub(a.x, b.x), __hsub(a.y, b.y)};
}
template <HalfPair T>
T __hmul2(T a, T b) {
  return {__hmul(a.x, b.x), __hmul(a.y, b.y)};
}
template <HalfPair T>
T __hfma2(T a, T b, T c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}

}  // namespace mirilla::simt
