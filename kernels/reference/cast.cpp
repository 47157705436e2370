// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

// f64 to f32, rounded to odd: the last bit records whether anything was cut off, so that rounding the result again, to 11 or 8 bits,
// gives what rounding the f64 directly would give. (Rounding to nearest twice does not.)      [Boldo and Melquiond, "Emulation of
// FMA", 2008]
float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  if (std::isnan(x) || static_cast<double>(nearest) == x) return nearest;
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const uint32_t towards_zero = std::fabs(static_cast<double>(nearest)) > std::fabs(x) ? bits - 1 : bits;
  return std::bit_cast<float>(towards_zero | 1u);
}

// A double holds every f32, f16, bf16 and u8; i64 beyond 2^53 is converted separately.
template <class T>
double widen(T x) {
  if constexpr (kIsHalf<T>) {
    return static_cast<double>(static_cast<float>(x));
  } else {
    return static_cast<double>(x);
  }
}

template <class To>
To narrow(double x) {
  if constexpr (kIsHalf<To>) {
    return To(round_to_odd(x));
  } else if constexpr (std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    if (std::isnan(x)) return 0;
    if (x <= static_cast<double>(Limits::min())) return Limits::min();
    if (x >= static_cast<double>(Limits::max())) return Limits::max();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <class To, class From>
To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_integral_v<From> && !kIsHalf<To>) {
    return static_cast<To>(x);
  } else {
    return narrow<To>(widen(x));
  }
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::Fill& call) {
  dispatch_any(call.y.dtype, [&]<class T>() {
    T element{};
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
      element = T(static_cast<float>(call.value));
    } else {
      element = static_cast<T>(call.value);
    }
    std::fill_n(call.y.data<T>(), call.y.numel(), element);
  });
}

template <>
void ReferenceBackend::execute(const op::Cast& call) {
  dispatch_any(call.x.dtype, [&]<class From>() {
    dispatch_any(call.y.dtype, [&]<class To>() {
      const From* const px = call.x.data<From>();
      To* const py = call.y.data<To>();
      for (int64_t i = 0; i < call.y.numel(); ++i) py[i] = convert<To>(px[i]);
    });
  });
}

}  // namespace mirilla
