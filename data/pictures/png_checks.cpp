// SPDX-License-Identifier: MIT
#include "data/pictures/png_checks.h"

#include <zlib.h>

#include <algorithm>

#include "data/pictures/chunks.h"
#include "kernels/core/error.h"

namespace mirilla::data::detail {

void check_png(std::span<const uint8_t> bytes, std::string_view name) {
  bool among_pixels = false;
  for_each_png_chunk(bytes, [&](const PngChunk& chunk) {
    if (among_pixels && chunk.type != "IDAT") return false;
    among_pixels = chunk.type == "IDAT";
    if (chunk.checksum.size() < 4) throw DataError(fmt::format("{}: the PNG is cut off", name), "was it copied completely?");
    if (crc32(0, chunk.checked.data(), static_cast<uInt>(chunk.checked.size())) != big_number(chunk.checksum, 0, 4))
      throw DataError(fmt::format("{}: the PNG is damaged: a checksum is wrong", name), "was it copied completely?");
    return true;
  });
}

std::optional<PatchedPng> with_whole_palette(std::span<const uint8_t> bytes) {
  constexpr size_t kHeadBytes = 8, kColors = 256, kHeaderBodyBytes = 13;
  constexpr uint8_t kHasPalette = 3;  // the header's colour type
  std::span<const uint8_t> header, palette;
  for_each_png_chunk(bytes, [&](const PngChunk& chunk) {
    if (chunk.type == "IHDR") header = chunk.body;
    if (chunk.type == "PLTE") palette = chunk.body;
    return chunk.type != "PLTE" && chunk.type != "IDAT";
  });
  if (header.size() < kHeaderBodyBytes || header[9] != kHasPalette || palette.empty() || header[8] > 8) return std::nullopt;
  if (palette.size() >= 3 * (size_t{1} << header[8])) return std::nullopt;
  const auto at = static_cast<size_t>(palette.data() - bytes.data());
  PatchedPng patched{
      .before = bytes.first(at - kHeadBytes), .after = bytes.subspan(std::min(at + palette.size() + 4, bytes.size())), .chunk = {}};
  constexpr std::array<uint8_t, kHeadBytes> kHead = {0, 0, 3 * kColors >> 8, 3 * kColors & 0xFF, 'P', 'L', 'T', 'E'};
  std::ranges::copy(kHead, patched.chunk.begin());
  std::ranges::copy(palette, patched.chunk.begin() + kHeadBytes);
  return patched;
}

}  // namespace mirilla::data::detail
