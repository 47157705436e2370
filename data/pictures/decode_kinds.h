// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/pictures/picture.h"

// The decoders behind data/pictures/decode.h; callers use that header. Each decodes one kind of file; the is_...() functions recognise it
// by its content.
namespace mirilla::data::detail {

/// Throws DataError for a picture without pixels or with more than most_pixels.
void check_picture_size(int64_t width, int64_t height, std::string_view name, int64_t most_pixels);

/// The best ratio of Deflate is 1032 : 1, so a byte of a 1-bit PNG gives 8256 pixels; no other kind except WebP comes near. A tiny file
/// with a huge size would otherwise cost seconds and gigabytes before it is found to be cut off.
inline constexpr int64_t kMostPixelsPerByte = 10'000;
/// Throws DataError for more pixels than this many bytes can hold.
void check_pixels_fit(int64_t width, int64_t height, size_t bytes, std::string_view name);

bool is_jpeg(std::span<const uint8_t> bytes);
Picture decode_jpeg(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);

bool is_bmp(std::span<const uint8_t> bytes);
Picture decode_bmp(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);

/// WebP, by libwebp; in a build without it, an error that says so.
bool is_webp(std::span<const uint8_t> bytes);
Picture decode_webp(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);
/// Its version, or a note that it is missing.
std::string webp_library();

bool is_gif(std::span<const uint8_t> bytes);
Picture decode_gif(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);

/// PNG, TGA, PSD, PPM and PGM, by stb_image.
bool is_other(std::span<const uint8_t> bytes);
Picture decode_other(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);

}  // namespace mirilla::data::detail
