// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "data/picture.h"

namespace mirilla::data {

/// How a picture file says that its pixels are to be turned before a person sees them: EXIF's orientation, 1 to 8; 1 where it says nothing,
/// something else, or is damaged. Only the parts that hold it are looked at, not the pixels.                 [PIL.ImageOps.exif_transpose]
///
///   1 as stored            2 mirrored left-right    3 by 180 degrees         4 mirrored top-bottom
///   5 transposed           6 by 90 degrees right    7 transposed across      8 by 90 degrees left
///
/// Looks where Pillow does: JPEG's APP1 segments; PNG's eXIf, and the text "Raw profile type exif"; WebP's EXIF chunk; and, where these
/// name no orientation, XMP's tiff:Orientation. Other kinds have none. Bytes are never read outside of `file`.
int exif_orientation(std::span<const uint8_t> file);

/// The picture as EXIF's orientation wants it seen; sides change places from 5 on. For 1 and values that mean nothing it is returned as it
/// is. From 5 on a second picture is in memory for a moment.
Picture upright(Picture picture, int orientation);

}  // namespace mirilla::data
