// SPDX-License-Identifier: MIT
#include "weights/zip_layout.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace mirilla::weights {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalEntry = 0x04034b50, kDirectoryEntry = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr size_t kLocalSize = 30, kDirectorySize = 46, kEndSize = 22, kLocatorSize = 20, kLongestComment = 0xffff;
constexpr uint64_t kElsewhere = 0xffffffff;  // of a number of 32 bits: it is in the zip64 fields

/// A little-endian number at `at`, 0 beyond the end.
template <class T>
T number(Bytes zip, uint64_t at) {
  if (at > zip.size() || zip.size() - at < sizeof(T)) return 0;
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | std::to_integer<uint8_t>(zip[at + i]);
  return static_cast<T>(value);
}

struct Directory {
  uint64_t begin, end;
};

std::optional<Directory> find_directory(Bytes zip) {
  if (zip.size() < kEndSize) return std::nullopt;
  const size_t last = zip.size() - kEndSize, first = last > kLongestComment ? last - kLongestComment : 0;
  for (size_t at = last + 1; at-- > first;) {
    if (number<uint32_t>(zip, at) != kEnd) continue;
    uint64_t size = number<uint32_t>(zip, at + 12), begin = number<uint32_t>(zip, at + 16);
    if (size == kElsewhere || begin == kElsewhere) {
      if (at < kLocatorSize || number<uint32_t>(zip, at - kLocatorSize) != kLocator64) return std::nullopt;
      const auto end64 = number<uint64_t>(zip, at - kLocatorSize + 8);
      if (number<uint32_t>(zip, end64) != kEnd64) return std::nullopt;
      size = number<uint64_t>(zip, end64 + 40);
      begin = number<uint64_t>(zip, end64 + 48);
    }
    if (begin > at || size > at - begin) return std::nullopt;
    return Directory{begin, begin + size};
  }
  return std::nullopt;
}

/// The offset of an entry's local header: 64 bits of it are the last of the zip64 field's numbers that the entry itself leaves out.
uint64_t header_of(Bytes zip, uint64_t entry, size_t name_size, size_t extra_size) {
  const auto offset = number<uint32_t>(zip, entry + 42);
  if (offset != kElsewhere) return offset;
  const uint64_t begin = entry + kDirectorySize + name_size;
  for (uint64_t at = begin; at + 4 <= begin + extra_size; at += 4 + number<uint16_t>(zip, at + 2)) {
    if (number<uint16_t>(zip, at) != 1) continue;
    const size_t before =
        (number<uint32_t>(zip, entry + 24) == kElsewhere ? 8 : 0) + (number<uint32_t>(zip, entry + 20) == kElsewhere ? 8 : 0);
    return number<uint64_t>(zip, at + 4 + before);
  }
  return zip.size();
}

}  // namespace

std::unordered_map<std::string, size_t> stored_entries(Bytes zip) {
  std::unordered_map<std::string, size_t> found;
  const auto directory = find_directory(zip);
  if (!directory) return found;
  for (uint64_t at = directory->begin; at + kDirectorySize <= directory->end && number<uint32_t>(zip, at) == kDirectoryEntry;) {
    const size_t name_size = number<uint16_t>(zip, at + 28), extra_size = number<uint16_t>(zip, at + 30);
    const uint64_t next = at + kDirectorySize + name_size + extra_size + number<uint16_t>(zip, at + 32);
    if (next > directory->end) return {};
    std::string name(reinterpret_cast<const char*>(zip.data() + at + kDirectorySize), name_size);
    const bool encrypted = (number<uint16_t>(zip, at + 8) & 1u) != 0, stored = number<uint16_t>(zip, at + 10) == 0 && !encrypted;
    const uint64_t header = header_of(zip, at, name_size, extra_size);
    const bool there = stored && number<uint32_t>(zip, header) == kLocalEntry;
    const uint64_t data =
        there ? header + kLocalSize + number<uint16_t>(zip, header + 26) + number<uint16_t>(zip, header + 28) : zip.size() + 1;
    const bool new_name = found.emplace(std::move(name), data <= zip.size() ? static_cast<size_t>(data) : SIZE_MAX).second;
    if (!new_name) return {};
    at = next;
  }
  std::erase_if(found, [](const auto& entry) { return entry.second == SIZE_MAX; });
  return found;
}

}  // namespace mirilla::weights
