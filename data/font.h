// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace mirilla::data {

inline constexpr int kGlyphWidth = 5;
inline constexpr int kGlyphHeight = 7;
inline constexpr int kGlyphAdvance = 6;

/// The seven rows of a character, from the top; bit 4 is the leftmost pixel. '?' for what is not printable ASCII.
const std::array<uint8_t, kGlyphHeight>& glyph(char character);

}  // namespace mirilla::data
