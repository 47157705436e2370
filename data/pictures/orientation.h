// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "data/pictures/picture.h"

namespace mirilla::data {

/// The EXIF orientation of a picture file: how to turn its pixels for display, 1 to 8; 1 where it is missing,
/// invalid or damaged. Only the parts that contain it are read, not the pixels.                 [PIL.ImageOps.exif_transpose]
///
///   1 as stored            2 mirrored left-right    3 by 180 degrees         4 mirrored top-bottom
///   5 transposed           6 by 90 degrees right    7 transposed across      8 by 90 degrees left
///
/// Looks where Pillow does: JPEG's APP1 segments; PNG's eXIf, and the text "Raw profile type exif"; WebP's EXIF chunk; and, if these
/// have no orientation, XMP's tiff:Orientation. Other kinds have none. Bytes are never read outside of `file`.
int exif_orientation(std::span<const uint8_t> file);

/// The picture turned by an EXIF orientation; width and height are swapped from 5 on. For 1 and invalid values it is returned as it
/// is. From 5 on a second picture is in memory for a short time.
Picture upright(Picture picture, int orientation);

}  // namespace mirilla::data
