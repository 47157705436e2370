// SPDX-License-Identifier: MIT
#include "data/pictures/decode_kinds.h"
#include "kernels/core/error.h"

// Replaces decode_webp.cpp in a build without libwebp.
namespace mirilla::data::detail {

Picture decode_webp(std::span<const uint8_t>, std::string_view name, int64_t) {
  throw DataError(fmt::format("{}: a WebP, but this program was built without libwebp, which decodes it", name),
                  "install libwebp-dev (tools/setup does) and build again, or save the picture as JPEG or PNG");
}

std::string webp_library() { return "absent: WebP pictures are not decoded"; }

}  // namespace mirilla::data::detail
