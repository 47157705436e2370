// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// The two kinds of metadata that state a picture's orientation; data/pictures/orientation.h finds them. Neither is trusted: nothing is
// read outside of them, and damaged data is ignored as in Pillow.
namespace mirilla::data::detail {

inline constexpr std::string_view kExifMark{"Exif\0\0", 6};

/// The orientation in the first directory of an EXIF block, a TIFF file without pixels that may begin with kExifMark: 2 to 8; 1 for 1 and
/// for values without a meaning. Empty where there is no such entry.               [PIL.TiffImagePlugin.ImageFileDirectory_v2.load]
std::optional<int> orientation_of_exif(std::span<const uint8_t> exif);

/// The same in an XMP text: tiff:Orientation="6" or <tiff:Orientation>6; 1 where there is none.
int orientation_of_xmp(std::string_view xmp);

}  // namespace mirilla::data::detail
