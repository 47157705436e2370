// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/pictures/picture.h"

namespace mirilla::data {

/// A picture as the bytes of a PNG file: 8-bit RGB, or 8-bit grey of width * height values. The same pixels give the same bytes.
/// [stb_image_write]   Throws ShapeError where the number of pixels is not width * height, or either is 0.
std::vector<uint8_t> encode_png(const Picture& picture);
std::vector<uint8_t> encode_png_grey(std::span<const uint8_t> pixels, int width, int height);

/// The same, to a file that is written whole or not at all (kernels/core/atomic_file.h). Throws Error where it cannot be written.
void write_png(const std::string& path, const Picture& picture);
void write_png_grey(const std::string& path, std::span<const uint8_t> pixels, int width, int height);

}  // namespace mirilla::data
