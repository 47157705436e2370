// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "data/picture.h"

// The two decoders behind data/decode.h; callers want that one.
namespace mirilla::data::detail {

/// Throws DataError for a picture without pixels or with more than kMaxPicturePixels.
void check_picture_size(int64_t width, int64_t height, std::string_view name);

Picture decode_jpeg(std::span<const uint8_t> bytes, std::string_view name);
Picture decode_other(std::span<const uint8_t> bytes, std::string_view name);

}  // namespace mirilla::data::detail
