// SPDX-License-Identifier: MIT
#include "data/pictures/orientation.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/pictures/chunks.h"
#include "data/pictures/decode_kinds.h"
#include "data/pictures/exif.h"

namespace mirilla::data {

namespace {

using Bytes = std::span<const uint8_t>;

/// The metadata of a file, the last of each kind. The views point into the file or into `own`.
struct Notes {
  std::optional<Bytes> exif;
  std::string_view xmp;
  std::list<std::string> own;  // metadata that was joined or unpacked

  Bytes keep(std::string text) {
    own.push_back(std::move(text));
    return {reinterpret_cast<const uint8_t*>(own.back().data()), own.back().size()};
  }
};

constexpr size_t kMostNoteBytes = size_t{1} << 20;  // limit for metadata that is joined or unpacked

// ---- JPEG ----

void take_segment(Bytes segment, Notes& notes) {
  constexpr std::string_view kXmpMark{"http://ns.adobe.com/xap/1.0/\0", 29};
  if (detail::begins_with(segment, kXmpMark)) notes.xmp = detail::as_text(segment.subspan(kXmpMark.size()));
  if (!detail::begins_with(segment, detail::kExifMark)) return;
  if (!notes.exif) {
    notes.exif = segment;
  } else if (const Bytes more = segment.subspan(detail::kExifMark.size()); notes.exif->size() + more.size() <= kMostNoteBytes) {
    notes.exif = notes.keep(std::string(detail::as_text(*notes.exif)) + std::string(detail::as_text(more)));
  }
}

/// The metadata in the segments before the first scan.
Notes notes_of_jpeg(Bytes file) {
  constexpr uint8_t kFirst = 0xC0, kScan = 0xDA, kApp1 = 0xE1;
  const auto stands_alone = [](uint8_t marker) {
    return (marker >= 0xD0 && marker <= 0xD9) || marker == 0xC8 || (marker >= 0xF0 && marker <= 0xFD);
  };
  Notes notes;
  for (size_t at = 2; at + 1 < file.size();) {
    const uint8_t marker = file[at + 1];
    if (file[at] != 0xFF || marker == 0xFF) {
      ++at;
      continue;
    }
    at += 2;
    if (marker == 0 || stands_alone(marker)) continue;
    if (marker < kFirst || marker == kScan || at + 2 > file.size()) break;
    const size_t length = detail::big_number(file, at, 2);
    if (length > file.size() - at) break;
    if (marker == kApp1 && length > 2) take_segment(file.subspan(at + 2, length - 2), notes);
    at += std::max<size_t>(length, 2);
  }
  return notes;
}

// ---- PNG ----

std::optional<std::string> unpacked(std::string_view packed) {
  std::string text(kMostNoteBytes, '\0');
  uLongf size = kMostNoteBytes;
  if (uncompress(reinterpret_cast<Bytef*>(text.data()), &size, reinterpret_cast<const Bytef*>(packed.data()),
                 static_cast<uLong>(packed.size())) != Z_OK)
    return std::nullopt;
  text.resize(size);
  return text;
}

/// "\nexif\n    1234\n45786966..." of ImageMagick: hexadecimal digits from the fourth line on.
std::optional<std::string> exif_of_profile(std::string_view profile) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = profile.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    profile.remove_prefix(end + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char c : profile.substr(0, 4 * kMostNoteBytes)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0 && (c == ' ' || (c >= '\t' && c <= '\r'))) continue;
    if (digit < 0) return std::nullopt;
    if (high >= 0) bytes.push_back(static_cast<char>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

/// A text chunk's value; empty if it cannot be read.
std::optional<std::string_view> value_of(const detail::PngChunk& chunk, std::string_view rest, Notes& notes) {
  constexpr size_t kMostUnpacked = 16;  // one is usual; a hostile file may hold a million, each growing a thousandfold
  bool packed = chunk.type == "zTXt";
  if (chunk.type == "iTXt") {  // compression flag and method, the language, the key in that language
    if (rest.size() < 2) return std::nullopt;
    packed = rest[0] != 0;
    rest.remove_prefix(1);
    const size_t language = rest.find('\0', 1), key = language == std::string_view::npos ? language : rest.find('\0', language + 1);
    if (key == std::string_view::npos) return std::nullopt;
    if (!packed) return rest.substr(key + 1);
    if (rest[0] != 0) return std::nullopt;
    rest.remove_prefix(key);
  }
  if (!packed) return rest;
  if (rest.empty() || rest[0] != 0 || notes.own.size() >= kMostUnpacked) return std::nullopt;
  std::optional<std::string> text = unpacked(rest.substr(1));
  if (!text) return std::nullopt;
  return detail::as_text(notes.keep(std::move(*text)));
}

Notes notes_of_png(Bytes file) {
  Notes notes;
  std::optional<Bytes> profile;  // used only without EXIF
  detail::for_each_png_chunk(file, [&](const detail::PngChunk& chunk) {
    if (chunk.type == "eXIf") notes.exif = chunk.body;
    if (chunk.type != "tEXt" && chunk.type != "zTXt" && chunk.type != "iTXt") return chunk.type != "IEND";
    const std::string_view text = detail::as_text(chunk.body);
    const size_t zero = text.find('\0');
    const std::string_view key = text.substr(0, zero);
    if (zero == std::string_view::npos || (key != "exif" && key != "Raw profile type exif" && key != "XML:com.adobe.xmp")) return true;
    const std::optional<std::string_view> value = value_of(chunk, text.substr(zero + 1), notes);
    if (!value) return true;
    if (key == "exif" && chunk.type == "tEXt") notes.exif = Bytes(reinterpret_cast<const uint8_t*>(value->data()), value->size());
    if (key == "XML:com.adobe.xmp") notes.xmp = *value;
    if (key == "Raw profile type exif")
      if (std::optional<std::string> exif = exif_of_profile(*value)) profile = notes.keep(std::move(*exif));
    return true;
  });
  if (!notes.exif) notes.exif = profile;
  return notes;
}

// ---- WebP ----

/// The metadata that the first chunk announces.
Notes notes_of_webp(Bytes file) {
  constexpr uint8_t kHasExif = 8, kHasXmp = 4;
  Notes notes;
  std::optional<uint8_t> flags;
  detail::for_each_riff_chunk(file, [&](const detail::RiffChunk& chunk) {
    if (!flags) {
      if (chunk.type != "VP8X" || chunk.body.empty()) return false;
      flags = chunk.body[0];
    }
    if (chunk.type == "EXIF" && (*flags & kHasExif) && !notes.exif) notes.exif = chunk.body;
    if (chunk.type == "XMP " && (*flags & kHasXmp) && notes.xmp.empty()) notes.xmp = detail::as_text(chunk.body);
    return true;
  });
  return notes;
}

// ---- turning ----

using Pixel = std::array<uint8_t, 3>;

Pixel pixel_of(const Picture& picture, int x, int y) {
  const uint8_t* const at = picture.at(x, y);
  return {at[0], at[1], at[2]};
}

void swap_pixels(uint8_t* a, uint8_t* b) { std::swap_ranges(a, a + 3, b); }

void mirror_left_right(Picture& picture) {
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width / 2; ++x) swap_pixels(picture.at(x, y), picture.at(picture.width - 1 - x, y));
}

void mirror_top_bottom(Picture& picture) {
  const auto row_bytes = static_cast<ptrdiff_t>(picture.width) * 3;
  for (int y = 0; y < picture.height / 2; ++y)
    std::swap_ranges(picture.at(0, y), picture.at(0, y) + row_bytes, picture.at(0, picture.height - 1 - y));
}

/// Pixel (x,y) of the result is pixel (y,x). In square blocks, since neighbours of one of the two are far apart in memory.
Picture transposed(const Picture& picture) {
  constexpr int kSquare = 32;
  Picture out(picture.height, picture.width);
  for (int top = 0; top < out.height; top += kSquare)
    for (int left = 0; left < out.width; left += kSquare)
      for (int y = top; y < std::min(top + kSquare, out.height); ++y)
        for (int x = left; x < std::min(left + kSquare, out.width); ++x) std::ranges::copy(pixel_of(picture, y, x), out.at(x, y));
  return out;
}

}  // namespace

int exif_orientation(Bytes file) {
  Notes notes;
  if (detail::is_jpeg(file)) notes = notes_of_jpeg(file);
  if (detail::begins_with(file, detail::kPngMark)) notes = notes_of_png(file);
  if (detail::is_webp(file)) notes = notes_of_webp(file);
  if (notes.exif)
    if (const std::optional<int> orientation = detail::orientation_of_exif(*notes.exif)) return *orientation;
  return detail::orientation_of_xmp(notes.xmp);
}

Picture upright(Picture picture, int orientation) {
  if (orientation >= 5 && orientation <= 8) picture = transposed(picture);
  if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) mirror_left_right(picture);
  if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) mirror_top_bottom(picture);
  return picture;
}

}  // namespace mirilla::data
