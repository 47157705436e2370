// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/core/error.h"
#include "kernels/core/half.h"

namespace mirilla {

/// The type of an element. f64 exists on the reference device only (it is the truth that the others are compared with); f16 and bf16 are
/// storage, their arithmetic is f32; u8 holds pictures and byte indices, i64 holds labels and counters.
enum class DType : uint8_t { f32, f64, f16, bf16, u8, i64 };

constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view names[] = {"f32", "f64", "f16", "bf16", "u8", "i64"};
  return names[static_cast<size_t>(dtype)];
}

constexpr size_t size_of(DType dtype) {
  constexpr size_t sizes[] = {4, 8, 2, 2, 1, 8};
  return sizes[static_cast<size_t>(dtype)];
}

constexpr bool is_float(DType dtype) { return dtype <= DType::bf16; }
constexpr bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

template <class T>
inline constexpr DType kDTypeOf = [] {
  static_assert(sizeof(T) == 0, "no DType holds this type");
  return DType::f32;
}();
template <>
inline constexpr DType kDTypeOf<float> = DType::f32;
template <>
inline constexpr DType kDTypeOf<double> = DType::f64;
template <>
inline constexpr DType kDTypeOf<Half> = DType::f16;
template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::bf16;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::u8;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::i64;

/// Calls f.template operator()<T>() with the C++ type of a float dtype, and throws ShapeError naming `what` for the others.
template <class F>
decltype(auto) dispatch_float(DType dtype, std::string_view what, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    default: throw ShapeError(fmt::format("{}: expects f32, f64, f16 or bf16 and got {}", what, name_of(dtype)));
  }
}

/// The same for the two types that the reference computes in.
template <class F>
decltype(auto) dispatch_real(DType dtype, std::string_view what, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    default: throw ShapeError(fmt::format("{}: expects f32 or f64 and got {}", what, name_of(dtype)), "cast it first");
  }
}

/// The same for every dtype.
template <class F>
decltype(auto) dispatch_any(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::u8: return f.template operator()<uint8_t>();
    default: return f.template operator()<int64_t>();
  }
}

}  // namespace mirilla
