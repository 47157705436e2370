// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

namespace {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

/// An integer as f32, rounded to odd: the last bit records whether anything was cut off, so that rounding again, to a half, gives what
/// rounding the integer directly would give.                                  [Boldo and Melquiond, "Emulation of FMA", 2008]
float round_to_odd(int64_t value) {
  const auto nearest = static_cast<float>(value);
  if (nearest >= 0x1p63f || static_cast<int64_t>(nearest) == value) return nearest;  // above 2^63 - 2^39 all roundings agree
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const bool away = (value > 0) == (static_cast<int64_t>(nearest) > value);
  return std::bit_cast<float>((away ? bits - 1 : bits) | 1u);
}

/// Float to integer truncates towards zero and stops at the ends of the range, NaN gives 0; i64 to u8 keeps the low 8 bits.
template <class To, class From>
To convert(From x) {
  if constexpr (kIsHalf<From>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (kIsHalf<To> && std::is_same_v<From, int64_t>) {
    return To(round_to_odd(x));
  } else if constexpr (kIsHalf<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    using Limits = std::numeric_limits<To>;
    if (std::isnan(x)) return 0;
    if (x <= static_cast<From>(Limits::min())) return Limits::min();
    if (x >= static_cast<From>(Limits::max())) return Limits::max();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

/// a where `first`, else b; by masks, since the compiler would move what it chooses between into branches.
uint32_t choose(bool first, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(first);
  return (a & mask) | (b & ~mask);
}

/// Half::to_float and Half::from_float bit for bit, but with the same operations for every value and the result chosen at the end: without
/// branches the compiler makes vectors of them. A training step in half precision spends much of its time here.
float widened(uint16_t half) {
  const uint32_t sign = (uint32_t{half} & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const auto fraction = static_cast<float>(static_cast<int32_t>(magnitude & 0x3ffu));
  const uint32_t subnormal = std::bit_cast<uint32_t>(fraction * 0x1p-24f);
  const uint32_t normal = (magnitude << 13) + (112u << 23);                                               // exponent bias 15 becomes 127
  const uint32_t special = (magnitude << 13) | 0x7f800000u | choose(magnitude > 0x7c00u, 0x400000u, 0u);  // a NaN, made quiet
  return std::bit_cast<float>(sign | choose(magnitude >= 0x7c00u, special, choose(magnitude < 0x400u, subnormal, normal)));
}

uint16_t narrowed(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // From 0.5 on a float counts in units of 2^-24, as subnormal halves do: the sum rounds to them.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);  // made quiet
  const uint32_t large = choose(magnitude > 0x7f800000u, nan, 0x7c00u);
  return static_cast<uint16_t>(sign | choose(magnitude >= 0x477ff000u, large, choose(magnitude < 0x38800000u, subnormal, normal)));
}

/// n elements, one by one.
template <class From, class To>
void convert_all(const From* x, To* y, int64_t n) {
  if constexpr (std::is_same_v<From, To>) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(To));
  } else if constexpr (std::is_same_v<From, Half> && std::is_same_v<To, float>) {
    for (int64_t i = 0; i < n; ++i) y[i] = widened(x[i].bits);
  } else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, Half>) {
    for (int64_t i = 0; i < n; ++i) y[i].bits = narrowed(x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
  }
}

template <class T>
T element_of(double value) {
  if constexpr (kIsHalf<T>) {
    return T(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

/// Every dtype that this device holds.
template <class F>
void dispatch_held(DType dtype, std::string_view what, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::u8: return f.template operator()<uint8_t>();
    case DType::i64: return f.template operator()<int64_t>();
    case DType::f64: break;
  }
  cpu::no_such(dtype, what);
}

}  // namespace

template <>
void CpuBackend::execute(const op::Fill& call) {
  dispatch_held(call.y.dtype, "fill", [&]<class T>() {
    auto* py = call.y.data<T>();
    const T element = element_of<T>(call.value);
    cpu::parallel_shares(call.y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { std::fill(py + i, py + end, element); });
  });
}

template <>
void CpuBackend::execute(const op::Cast& call) {
  dispatch_held(call.x.dtype, "cast", [&]<class From>() {
    dispatch_held(call.y.dtype, "cast", [&]<class To>() {
      const auto* px = call.x.data<From>();
      auto* py = call.y.data<To>();
      cpu::parallel_shares(call.y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { convert_all(px + i, py + i, end - i); });
    });
  });
}

}  // namespace mirilla
