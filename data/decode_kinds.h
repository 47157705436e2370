// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "data/picture.h"

// The two decoders behind data/decode.h; callers want that one.
namespace mirilla::data::detail {

/// Throws DataError for a picture without pixels, with more than kMaxPicturePixels, or with more than `bytes` of any kind can hold.
void check_picture_size(int64_t width, int64_t height, size_t bytes, std::string_view name);

Picture decode_jpeg(std::span<const uint8_t> bytes, std::string_view name);
Picture decode_other(std::span<const uint8_t> bytes, std::string_view name);

}  // namespace mirilla::data::detail
