// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/types.h"

#include <string_view>
#include <vector>

namespace mirilla::ptx {

/// One word of PTX. Opcodes, directives and names keep their dots: "ld.global.nc.v4.f32", ".reg", "%tid.x", "$L__BB0_2".
struct Token {
  enum class Kind : u8 { kEnd, kWord, kInteger, kF32, kF64, kString, kMark };
  Kind kind = Kind::kEnd;
  std::string_view text;  // a string without its quotes
  u64 bits = 0;           // for a number: an integer's value, or a float's bits
  u32 line = 0;           // counted from 1

  bool is(std::string_view mark) const { return (kind == Kind::kMark || kind == Kind::kWord) && text == mark; }
};

/// The words of a PTX text (PTX ISA 4.1 to 4.6): comments dropped; decimal, hexadecimal, octal and binary integers with an optional U;
/// 0f and 0d for the bits of floats; decimal floats. The tokens point into `source`, which must live longer. Throws Error with the line for
/// a character that is not allowed.
std::vector<Token> read_words(std::string_view source);

}  // namespace mirilla::ptx
