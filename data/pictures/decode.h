// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "data/pictures/picture.h"

namespace mirilla::data {

/// The most pixels a picture may have: Pillow's limit for decompression bombs, 2 * MAX_IMAGE_PIXELS. Checked on the header, before memory
/// is taken.
inline constexpr int64_t kMaxPicturePixels = 2 * (int64_t{1024} * 1024 * 1024 / 4 / 3);

struct DecodeOptions {
  /// Turns the picture as its EXIF orientation says (data/pictures/orientation.h). Off by default, as in fastai: the picture stays as it is
  /// stored.
  bool exif_rotate = false;
  int64_t most_pixels = kMaxPicturePixels;
};

/// A picture, and the orientation stated in its file, 1 (as stored) to 8. DecodeOptions::exif_rotate decides whether it was applied.
struct DecodedFile {
  Picture picture;
  int orientation = 1;
};

/// A picture file to 8-bit RGB, as `PIL.Image.open(file).convert('RGB')`: alpha is dropped, and the EXIF orientation is applied only if
/// the options say so.
///
/// JPEG by libjpeg-turbo as Pillow drives it (islow DCT, fancy upsampling, CMYK and YCCK read as inverted, as Adobe writes them), WebP by
/// libwebp (the first frame), BMP and GIF (its first picture) by our own code, bit for bit; other kinds (PNG, TGA, PSD, PPM, PGM) by
/// stb_image. The kind is determined by the content and never by the name. 16-bit colour keeps its upper byte and 16-bit grey is clipped at
/// 255, both as Pillow does. A PNG whose checksums are wrong is an error. Known differences from Pillow: PPM and PGM are decoded with 255
/// levels only; and this code decodes files that Pillow refuses or misreads: BMPs with unusual masks, with palettes of greys that do not
/// have 256 entries, and with two colours but more than one bit.
///
/// `name` is for messages. Throws DataError where the bytes are not a picture of a known kind (it says what they are instead), are cut off
/// or corrupt, or have no pixels or more than `most_pixels`. May be called from many threads at once.
DecodedFile decode_file(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options = {});

/// Only the picture.
Picture decode(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options = {});

/// Reads a file and decodes it. Throws DataError where it cannot be read or is larger than kMaxEntryBytes.
DecodedFile load_file(const std::filesystem::path& path, const DecodeOptions& options = {});
Picture load_picture(const std::filesystem::path& path, const DecodeOptions& options = {});

}  // namespace mirilla::data
