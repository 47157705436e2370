// SPDX-License-Identifier: MIT
#include "data/pictures/exif.h"

#include <bit>
#include <bitset>
#include <cmath>

#include "data/pictures/chunks.h"

namespace mirilla::data::detail {

namespace {

using namespace std::string_view_literals;
using Bytes = std::span<const uint8_t>;

/// The numbers of a TIFF file in its byte order.
class Tiff {
 public:
  Tiff(Bytes bytes, bool big_first) : bytes_(bytes), big_first_(big_first) {}
  size_t size() const { return bytes_.size(); }
  bool has(uint64_t at, uint64_t count) const { return at <= bytes_.size() && count <= bytes_.size() - at; }
  uint32_t number(size_t at, size_t count) const { return big_first_ ? big_number(bytes_, at, count) : little_number(bytes_, at, count); }
  uint64_t u64(size_t at) const {
    const uint64_t first = number(at, 4), second = number(at + 4, 4);
    return big_first_ ? first << 32 | second : second << 32 | first;
  }

 private:
  Bytes bytes_;
  bool big_first_;
};

enum Type : uint32_t {
  kByte = 1,
  kText,
  kShort,
  kLong,
  kRatio,
  kSignedByte,
  kUndefined,
  kSignedShort,
  kSignedLong,
  kSignedRatio,
  kFloat,
  kDouble,
  kDirectory,
  kLong8 = 16
};

/// Bytes of one value; 0 for an unknown type.
uint64_t bytes_of(uint32_t type) {
  switch (type) {
    case kByte:
    case kText:
    case kSignedByte:
    case kUndefined: return 1;
    case kShort:
    case kSignedShort: return 2;
    case kLong:
    case kSignedLong:
    case kFloat:
    case kDirectory: return 4;
    case kRatio:
    case kSignedRatio:
    case kDouble:
    case kLong8: return 8;
    default: return 0;
  }
}

/// A value as a number; NaN for a type without numbers. Some writers use other types than the short that EXIF requires.
double value_of(const Tiff& tiff, uint32_t type, size_t at) {
  switch (type) {
    case kShort: return tiff.number(at, 2);
    case kLong:
    case kDirectory: return tiff.number(at, 4);
    case kSignedByte: return static_cast<int8_t>(tiff.number(at, 1));
    case kSignedShort: return static_cast<int16_t>(tiff.number(at, 2));
    case kSignedLong: return static_cast<int32_t>(tiff.number(at, 4));
    case kRatio: return static_cast<double>(tiff.number(at, 4)) / tiff.number(at + 4, 4);
    case kSignedRatio: return static_cast<double>(static_cast<int32_t>(tiff.number(at, 4))) / static_cast<int32_t>(tiff.number(at + 4, 4));
    case kFloat: return std::bit_cast<float>(tiff.number(at, 4));
    case kDouble: return std::bit_cast<double>(tiff.u64(at));
    case kLong8: return static_cast<double>(tiff.u64(at));
    default: return std::nan("");
  }
}

int known_orientation(double value) {
  for (int known = 2; known <= 8; ++known)
    if (value == known) return known;
  return 1;
}

/// The first directory's orientation; empty if it has none.
std::optional<int> orientation_in(const Tiff& tiff) {
  constexpr uint32_t kOrientation = 0x112;
  constexpr size_t kEntryBytes = 12;
  const uint64_t directory = tiff.number(4, 4);
  if (!tiff.has(directory, 2)) return std::nullopt;
  const uint32_t entries = tiff.number(directory, 2);
  std::bitset<1 << 16> seen;
  uint64_t stated = 0;  // bytes of values stored elsewhere
  for (uint32_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + i * kEntryBytes;
    if (!tiff.has(entry, kEntryBytes)) break;
    const uint32_t tag = tiff.number(entry, 2), type = tiff.number(entry + 2, 2);
    const uint64_t bytes = bytes_of(type) * tiff.number(entry + 4, 4);
    if (seen[tag] || bytes == 0) continue;
    uint64_t at = entry + 8;
    if (bytes > 4) {
      at = tiff.number(entry + 8, 4);
      stated += bytes;
      if (stated > tiff.size()) continue;
      if (!tiff.has(at, bytes)) break;
    }
    seen[tag] = true;
    if (tag == kOrientation) return known_orientation(value_of(tiff, type, at));
  }
  return std::nullopt;
}

}  // namespace

std::optional<int> orientation_of_exif(Bytes exif) {
  for (int i = 0; i < 2 && begins_with(exif, kExifMark); ++i) exif = exif.subspan(kExifMark.size());
  constexpr size_t kHeadBytes = 8;
  if (exif.size() < kHeadBytes) return std::nullopt;
  for (const std::string_view mark : {"MM\0\x2A"sv, "MM\x2A\0"sv, "MM\0\x2B"sv})
    if (begins_with(exif, mark)) return orientation_in(Tiff(exif, true));
  for (const std::string_view mark : {"II\x2A\0"sv, "II\0\x2A"sv})
    if (begins_with(exif, mark)) return orientation_in(Tiff(exif, false));
  return std::nullopt;
}

int orientation_of_xmp(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at)) {
    at += kName.size();
    std::string_view rest = xmp.substr(at);
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return known_orientation(rest[0] - '0');
  }
  return 1;
}

}  // namespace mirilla::data::detail
