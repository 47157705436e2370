// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "data/picture.h"

namespace mirilla::data {

/// The most pixels a picture may have: Pillow's limit for decompression bombs, 2 * MAX_IMAGE_PIXELS. Checked on the header, before memory
/// is taken.
inline constexpr int64_t kMaxPicturePixels = 2 * (int64_t{1024} * 1024 * 1024 / 4 / 3);

/// A picture file to 8-bit RGB, as `PIL.Image.open(file).convert('RGB')`: the EXIF orientation is not applied, alpha is dropped.
///
/// JPEG by libjpeg-turbo as Pillow drives it (islow DCT, fancy upsampling, CMYK and YCCK taken as Adobe's inverted), bit for bit; other
/// kinds (PNG, BMP, GIF's first frame, TGA, PSD, PPM, PGM) by stb_image. The kind is told from the content, TGA from the name.
/// 16-bit colour keeps its upper byte and 16-bit grey is clipped at 255, both as Pillow does. Known to differ from Pillow: transparent
/// pixels of a GIF take its background colour, a 15-bit BMP may differ by one, PPM and PGM are decoded with 255 levels only.
///
/// `name` is for messages. Throws DataError where the bytes are no picture of a known kind, are cut off or corrupt, or have no or more than
/// `most_pixels` pixels. May be called from many threads at once.
Picture decode(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels = kMaxPicturePixels);

/// Reads a file and decodes it. Throws DataError where it cannot be read or is larger than kMaxEntryBytes.
Picture load_picture(const std::filesystem::path& path);

}  // namespace mirilla::data
