// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// Checks of PNG files that stb_image leaves to its callers.
namespace mirilla::data::detail {

/// Throws DataError where a checksum of the header, the palette or the pixels is wrong: stb_image checks none of them, and would return
/// the pixels of a damaged file. Pillow checks those of the chunks before the pixels, and zlib's checksum of the pixels.
void check_png(std::span<const uint8_t> bytes, std::string_view name);

/// A file's bytes with one chunk replaced.
struct PatchedPng {
  std::span<const uint8_t> before, after;
  std::array<uint8_t, 8 + 3 * 256 + 4> chunk;  // its checksum is not filled in
};

/// If a PNG has a palette with fewer colours than its pixels may use: the same with 256 colours, the added ones black, as in Pillow.
/// stb_image would read whatever is in memory.
std::optional<PatchedPng> with_whole_palette(std::span<const uint8_t> bytes);

}  // namespace mirilla::data::detail
