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

struct DecodeOptions {
  /// Turns the picture as its EXIF says it is to be seen (data/orientation.h). Off, as in fastai: it is seen as it is stored.
  bool exif_rotate = false;
  int64_t most_pixels = kMaxPicturePixels;
};

/// A picture, and the orientation that its file asks for: 1 as it is stored, to 8. Whether that was done is DecodeOptions::exif_rotate.
struct DecodedFile {
  Picture picture;
  int orientation = 1;
};

/// A picture file to 8-bit RGB, as `PIL.Image.open(file).convert('RGB')`: alpha is dropped, and EXIF's orientation applied only where
/// it is asked for.
///
/// JPEG by libjpeg-turbo as Pillow drives it (islow DCT, fancy upsampling, CMYK and YCCK taken as Adobe's inverted), WebP by libwebp (the
/// first frame), BMP and GIF (its first picture) by our own code, bit for bit; other kinds (PNG, TGA, PSD, PPM, PGM) by stb_image. The kind
/// is told from the content and never from the name. 16-bit colour keeps its upper byte and 16-bit grey is clipped at 255, both as Pillow
/// does. A PNG whose checksums are wrong is an error. Known to differ from Pillow: PPM and PGM are decoded with 255 levels only; and what
/// Pillow refuses or misreads and this does not: BMPs with other masks than the usual, with palettes of greys that are not of 256, and with
/// two colours in more than one bit.
///
/// `name` is for messages. Throws DataError where the bytes are no picture of a known kind (it says what they are instead), are cut off or
/// corrupt, or have no or more than `most_pixels` pixels. May be called from many threads at once.
DecodedFile decode_file(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options = {});

/// The picture alone.
Picture decode(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options = {});

/// Reads a file and decodes it. Throws DataError where it cannot be read or is larger than kMaxEntryBytes.
DecodedFile load_file(const std::filesystem::path& path, const DecodeOptions& options = {});
Picture load_picture(const std::filesystem::path& path, const DecodeOptions& options = {});

}  // namespace mirilla::data
