// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/forms/numbers.h"
#include "kernels/ptx/types.h"

namespace mirilla::ptx {

/// Kinds of matrix elements.
enum class Element : u8 { kF16, kBf16, kTf32, kS8, kU8, kS4, kU4, kF32, kS32, kF64 };

constexpr u32 bits_of(Element e) {
  switch (e) {
    case Element::kF16:
    case Element::kBf16: return 16;
    case Element::kS8:
    case Element::kU8: return 8;
    case Element::kS4:
    case Element::kU4: return 4;
    case Element::kF64: return 64;
    default: return 32;
  }
}

template <Element kElement>
f32 float_of(u32 bits) {
  if constexpr (kElement == Element::kF16)
    return f32_of_half(static_cast<u16>(bits));
  else if constexpr (kElement == Element::kBf16)
    return f32_of_bf16(static_cast<u16>(bits));
  else
    return std::bit_cast<f32>(bits & 0xffffe000u);  // tf32: the lower 13 bits are ignored
}

inline s32 integer_of_element(Element e, u32 bits) {
  switch (e) {
    case Element::kS8: return static_cast<s8>(bits);
    case Element::kU8: return static_cast<u8>(bits);
    case Element::kS4: return static_cast<s32>(bits << 28) >> 28;
    case Element::kU4: return static_cast<s32>(bits & 15u);
    default: return static_cast<s32>(bits);
  }
}

}  // namespace mirilla::ptx
