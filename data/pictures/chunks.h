// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

// The parts that PNG and RIFF (WebP) files are made of.
namespace mirilla::data::detail {

/// Read numbers of either byte order at a place in a file's bytes; the caller has checked that the bytes exist.
inline uint32_t big_number(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}
inline uint32_t little_number(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint32_t{bytes[at + i]} << (8 * i);
  return value;
}

inline std::string_view as_text(std::span<const uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline bool begins_with(std::span<const uint8_t> bytes, std::string_view mark) { return as_text(bytes).starts_with(mark); }
inline bool has_at(std::span<const uint8_t> bytes, size_t at, std::string_view mark) {
  return bytes.size() >= at && as_text(bytes.subspan(at)).starts_with(mark);
}

inline constexpr std::string_view kPngMark = "\x89PNG\r\n\x1a\n";

struct PngChunk {
  std::string_view type;              // "IDAT"
  std::span<const uint8_t> body;      // shorter than stated if the file ends too early
  std::span<const uint8_t> checked;   // type and body, over which the checksum is computed
  std::span<const uint8_t> checksum;  // four bytes; fewer where the file ends too early
};

/// Calls f(chunk) for each chunk of a PNG, in order, until it returns false.
template <class F>
void for_each_png_chunk(std::span<const uint8_t> file, F&& f) {
  constexpr size_t kHead = 8, kCheck = 4;
  for (size_t at = kPngMark.size(); at + kHead <= file.size();) {
    const size_t left = file.size() - at - kHead;
    const size_t length = big_number(file, at, 4);
    const size_t there = length < left ? length : left;
    const size_t check_there = left - there < kCheck ? left - there : kCheck;
    const PngChunk chunk{.type = as_text(file.subspan(at + 4, 4)),
                         .body = file.subspan(at + kHead, there),
                         .checked = file.subspan(at + 4, 4 + there),
                         .checksum = file.subspan(at + kHead + there, check_there)};
    if (!f(chunk) || length > left || check_there < kCheck) return;
    at += kHead + length + kCheck;
  }
}

struct RiffChunk {
  std::string_view type;          // "VP8X"
  std::span<const uint8_t> body;  // shorter than stated where the file ends too early
};

/// Calls f(chunk) for each chunk of a RIFF file, in order, until it returns false.
template <class F>
void for_each_riff_chunk(std::span<const uint8_t> file, F&& f) {
  constexpr size_t kFileHead = 12, kHead = 8;
  for (size_t at = kFileHead; at + kHead <= file.size();) {
    const size_t left = file.size() - at - kHead;
    const size_t length = little_number(file, at + 4, 4);
    if (!f(RiffChunk{as_text(file.subspan(at, 4)), file.subspan(at + kHead, length < left ? length : left)}) || length >= left) return;
    at += kHead + length + length % 2;
  }
}

}  // namespace mirilla::data::detail
