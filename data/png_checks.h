// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// What stb_image leaves to its callers of a PNG.
namespace mirilla::data::detail {

/// Throws DataError where a checksum of the header, the palette or the pixels is wrong: stb_image looks at none of them, and would paint
/// what a damaged file unpacks to. Pillow holds the chunks before the pixels to theirs, and the pixels to the one of zlib.
void check_png(std::span<const uint8_t> bytes, std::string_view name);

/// A file's bytes with another chunk in one's place.
struct PatchedPng {
  std::span<const uint8_t> before, after;
  std::array<uint8_t, 8 + 3 * 256 + 4> chunk;  // its checksum is not computed
};

/// Where a PNG has a palette with fewer colours than its pixels may ask for: the same with 256, black where it had none, as in Pillow.
/// stb_image takes what happens to lie in memory.
std::optional<PatchedPng> with_whole_palette(std::span<const uint8_t> bytes);

}  // namespace mirilla::data::detail
