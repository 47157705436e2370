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

/// An integer as f32, rounded to odd: what was cut off leaves its trace in the last bit, so that rounding once more, to a half, gives what
/// rounding the integer directly would have given.                                  [Boldo and Melquiond, "Emulation of FMA", 2008]
float round_to_odd(int64_t value) {
  const auto nearest = static_cast<float>(value);
  if (nearest >= 0x1p63f || static_cast<int64_t>(nearest) == value) return nearest;  // above 2^63 - 2^39 nothing rounds differently
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

void CpuBackend::fill(View y, double value) {
  dispatch_held(y.dtype, "fill", [&]<class T>() {
    auto* py = y.data<T>();
    const T element = element_of<T>(value);
    cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { std::fill(py + i, py + end, element); });
  });
}

void CpuBackend::cast(ConstView x, View y) {
  dispatch_held(x.dtype, "cast", [&]<class From>() {
    dispatch_held(y.dtype, "cast", [&]<class To>() {
      const auto* px = x.data<From>();
      auto* py = y.data<To>();
      cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) {
        if constexpr (std::is_same_v<From, To>) {
          std::memcpy(py + i, px + i, static_cast<size_t>(end - i) * sizeof(To));
        } else {
          for (; i < end; ++i) py[i] = convert<To>(px[i]);
        }
      });
    });
  });
}

}  // namespace mirilla
