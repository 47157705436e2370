// SPDX-License-Identifier: MIT
#include "data/pictures/libraries.h"

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE, so it comes last
#include <fmt/format.h>
#include <jpeglib.h>
#include <zip.h>
#include <zlib.h>

#include "data/pictures/decode_kinds.h"

namespace mirilla::data {

std::vector<std::pair<std::string, std::string>> libraries() {
#define MIRILLA_TEXT_OF(number) #number
#define MIRILLA_VALUE_OF(number) MIRILLA_TEXT_OF(number)
  return {{"libjpeg-turbo", MIRILLA_VALUE_OF(LIBJPEG_TURBO_VERSION)},
          {"libwebp", detail::webp_library()},
          {"libzip", zip_libzip_version()},
          {"zlib", zlibVersion()},
          {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)}};
#undef MIRILLA_VALUE_OF
#undef MIRILLA_TEXT_OF
}

}  // namespace mirilla::data
