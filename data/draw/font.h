// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mirilla::data {

inline constexpr int kGlyphWidth = 5;
inline constexpr int kGlyphHeight = 7;
inline constexpr int kGlyphAdvance = 6;

inline constexpr int kGlyphAbove = 3;  // rows above the line of capitals: accents
inline constexpr int kGlyphBelow = 2;  // rows below the line: tails and cedillas

/// The rows of a character from the highest accent down; bit 4 is the leftmost pixel.
using Glyph = std::array<uint8_t, kGlyphAbove + kGlyphHeight + kGlyphBelow>;

/// One glyph per character of UTF-8 text. There are glyphs for printable ASCII and the letters of Latin-1; common quotation
/// marks and dashes look like those of ASCII; any other character, and each byte that is not UTF-8, is a '?'.
std::vector<Glyph> glyphs_of(std::string_view text);

/// The number of characters, which is the number of glyphs.
int characters_in(std::string_view text);

/// The first `count` characters; empty for 0 or less, the whole text if it has fewer.
std::string_view first_characters(std::string_view text, int count);

}  // namespace mirilla::data
