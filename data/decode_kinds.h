// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "data/picture.h"

// The two decoders behind data/decode.h; callers want that one.
namespace mirilla::data::detail {

/// Throws DataError for a picture without pixels, with more than most_pixels, or with more than `bytes` of any kind can hold.
void check_picture_size(int64_t width, int64_t height, size_t bytes, std::string_view name, int64_t most_pixels);

Picture decode_jpeg(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);
Picture decode_other(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels);

}  // namespace mirilla::data::detail
