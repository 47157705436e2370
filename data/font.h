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

/// How far its rows lie below the line: the tails of g, p, q, y hang under it.
int glyph_drop(char character);

}  // namespace mirilla::data
