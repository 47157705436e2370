// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "data/pictures/decode_kinds.h"
#include "kernels/core/error.h"

// BMP as Pillow's BmpImagePlugin reads it: rows from the bottom or from the top, palettes of 1, 4 and 8 bits, plain or run-length encoded,
// 16, 24 and 32 bits, with or without masks; the headers of OS/2 and of Windows from version 2 to 5.
namespace mirilla::data::detail {

namespace {

constexpr uint32_t kPlain = 0, kRle8 = 1, kRle4 = 2, kMasks = 3, kJpeg = 4, kPng = 5;
constexpr size_t kFileHeaderBytes = 14, kCoreHeaderBytes = 12, kInfoHeaderBytes = 40;
constexpr std::array<uint32_t, 7> kHeaderSizes = {12, 40, 52, 56, 64, 108, 124};

/// The file's numbers, little-endian. A place beyond the end of the file is an error.
class File {
 public:
  File(std::span<const uint8_t> bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  std::string_view name() const { return name_; }
  size_t size() const { return bytes_.size(); }
  uint8_t operator[](size_t at) const { return bytes_[at]; }
  std::span<const uint8_t> part(size_t at, size_t count) const {
    if (at > bytes_.size() || count > bytes_.size() - at)
      throw DataError(fmt::format("{}: the BMP is cut off", name_), "was it copied completely?");
    return bytes_.subspan(at, count);
  }
  uint32_t u16(size_t at) const { return number(at, 2); }
  uint32_t u32(size_t at) const { return number(at, 4); }

 private:
  uint32_t number(size_t at, size_t count) const {
    uint32_t value = 0;
    size_t shift = 0;
    for (const uint8_t byte : part(at, count)) value |= uint32_t{byte} << (8 * shift++);
    return value;
  }

  std::span<const uint8_t> bytes_;
  std::string_view name_;
};

struct Header {
  int64_t width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0, compression = kPlain;
  size_t colors = 0, color_bytes = 4;  // of the palette
  size_t palette_at = 0, pixels_at = 0;
  std::array<uint32_t, 3> masks{};  // red, green, blue
};

void read_info_header(const File& file, size_t at, size_t size, Header& header) {
  const uint32_t height = file.u32(at + 8);
  header.width = file.u32(at + 4);
  header.top_down = height >> 24 == 0xFF;  // a negative height
  header.height = header.top_down ? (int64_t{1} << 32) - height : height;
  header.bits = file.u16(at + 14);
  header.compression = file.u32(at + 16);
  header.colors = file.u32(at + 32);
  if (header.compression != kMasks) return;
  // After the fields of version 1: inside the header from version 2 on, else right behind it, where the palette would be.
  for (size_t i = 0; i < header.masks.size(); ++i) header.masks[i] = file.u32(at + kInfoHeaderBytes + 4 * i);
  if (size == kInfoHeaderBytes) header.palette_at += 4 * header.masks.size();
}

Header read_header(const File& file) {
  const bool bare = file.u16(0) != 0x4D42;  // without "BM" the file begins with the second header
  const size_t at = bare ? 0 : kFileHeaderBytes;
  const size_t size = file.u32(at);
  if (std::find(kHeaderSizes.begin(), kHeaderSizes.end(), size) == kHeaderSizes.end())
    throw DataError(fmt::format("{}: a BMP with a header of {} bytes, which is not a known version", file.name(), size),
                    "save it as JPEG or PNG");
  file.part(at, size);
  Header header;
  header.palette_at = at + size;
  if (size == kCoreHeaderBytes) {
    header.width = file.u16(at + 4);
    header.height = file.u16(at + 6);
    header.bits = file.u16(at + 10);
    header.color_bytes = 3;
  } else {
    read_info_header(file, at, size, header);
  }
  if (header.colors == 0 && header.bits <= 8) header.colors = size_t{1} << header.bits;
  header.pixels_at = bare ? 0 : file.u32(10);
  const bool has_palette = header.bits <= 8;
  if (header.pixels_at == 0 || (has_palette && header.pixels_at == at + size))  // some writers give 0, or the start of the palette
    header.pixels_at = header.palette_at + (has_palette ? header.color_bytes * header.colors : 0);
  return header;
}

void check(const Header& header, std::string_view name, size_t bytes, int64_t most_pixels) {
  constexpr const char* kSaveAgain = "save it as JPEG or PNG";
  if (header.bits != 1 && header.bits != 4 && header.bits != 8 && header.bits != 16 && header.bits != 24 && header.bits != 32)
    throw DataError(fmt::format("{}: a BMP with {} bits per pixel, but only 1, 4, 8, 16, 24 and 32 are supported", name, header.bits),
                    kSaveAgain);
  if (header.compression == kJpeg || header.compression == kPng)
    throw DataError(fmt::format("{}: a BMP that contains a {}, which is not supported", name, header.compression == kJpeg ? "JPEG" : "PNG"),
                    kSaveAgain);
  const bool fits = header.compression == kPlain || (header.compression == kMasks && header.bits >= 16) ||
                    ((header.compression == kRle8 || header.compression == kRle4) && header.bits <= 8);
  if (!fits)
    throw DataError(
        fmt::format("{}: a BMP of {} bits with a compression (number {}) that is not supported", name, header.bits, header.compression),
        kSaveAgain);
  check_picture_size(header.width, header.height, name, most_pixels);
  check_pixels_fit(header.width, header.height, bytes, name);
}

using Color = std::array<uint8_t, 3>;

/// Red, green, blue of each index; black beyond the end of the palette, if there is one.
std::array<Color, 256> read_palette(const File& file, const Header& header) {
  std::array<Color, 256> palette{};
  if (header.palette_at > file.size()) return palette;
  const size_t count = std::min({header.colors, palette.size(), (file.size() - header.palette_at) / header.color_bytes});
  bool counts_up = header.colors > 2 && count == std::min(header.colors, palette.size());
  for (size_t i = 0; i < count; ++i) {
    const size_t at = header.palette_at + i * header.color_bytes;
    palette[i] = {file[at + 2], file[at + 1], file[at]};
    counts_up &= palette[i] == Color{static_cast<uint8_t>(i), static_cast<uint8_t>(i), static_cast<uint8_t>(i)};
  }
  if (counts_up)  // Pillow then reads the picture as grey, with the index as value
    for (size_t i = count; i < palette.size(); ++i) palette[i].fill(static_cast<uint8_t>(i));
  return palette;
}

/// The row of the picture for the y-th row of the file.
uint8_t* row_of(Picture& picture, const Header& header, int64_t y) {
  return picture.at(0, static_cast<int>(header.top_down ? y : header.height - 1 - y));
}

/// One byte per pixel.
void paint(std::span<const uint8_t> indices, const std::array<Color, 256>& palette, uint8_t* out) {
  for (const uint8_t index : indices) out = std::copy(palette[index].begin(), palette[index].end(), out);
}

void unpack_indices(std::span<const uint8_t> packed, uint32_t bits, std::span<uint8_t> indices) {
  const uint32_t in_a_byte = 8 / bits, mask = (1u << bits) - 1;
  for (size_t x = 0; x < indices.size(); ++x)
    indices[x] = static_cast<uint8_t>(packed[x / in_a_byte] >> (8 - bits - bits * (x % in_a_byte)) & mask);
}

/// The bits of one colour in a pixel: v * 255 / the largest v, as Pillow scales 5 and 6 bits.
struct Channel {
  explicit Channel(uint32_t bits) : mask(bits), shift(std::countr_zero(bits)), most(bits >> shift) {}
  uint8_t operator()(uint32_t pixel) const {
    const uint64_t value = (pixel & mask) >> shift;
    return static_cast<uint8_t>(most == 255 ? value : value * 255 / most);
  }
  uint32_t mask;
  int shift;
  uint32_t most;
};

std::array<Channel, 3> channels_of(const Header& header, std::string_view name) {
  constexpr std::array<uint32_t, 3> kBytes = {0xFF0000, 0xFF00, 0xFF}, kFiveBits = {0x7C00, 0x3E0, 0x1F}, kNone = {};
  std::array<uint32_t, 3> masks = header.masks;
  if (header.compression != kMasks) masks = header.bits == 16 ? kFiveBits : kBytes;
  if (header.bits == 32 && masks == kNone) masks = kBytes;
  for (const uint32_t mask : masks) {
    const uint64_t run = mask >> (mask ? std::countr_zero(mask) : 0);
    if (mask == 0 || (run & (run + 1)) != 0 || (header.bits < 32 && mask >> header.bits != 0))
      throw DataError(fmt::format("{}: a BMP whose masks ({:x}, {:x}, {:x}) do not describe colours", name, masks[0], masks[1], masks[2]),
                      "save it as JPEG or PNG");
  }
  return {Channel(masks[0]), Channel(masks[1]), Channel(masks[2])};
}

void unpack_colors(std::span<const uint8_t> packed, uint32_t bits, const std::array<Channel, 3>& channels, uint8_t* out) {
  const size_t step = bits / 8;
  for (size_t at = 0; at < packed.size(); at += step) {
    uint32_t pixel = 0;
    for (size_t i = 0; i < step; ++i) pixel |= uint32_t{packed[at + i]} << (8 * i);
    for (const Channel& channel : channels) *out++ = channel(pixel);
  }
}

void decode_plain(const File& file, const Header& header, Picture& picture) {
  const size_t row_bits = static_cast<size_t>(header.width) * header.bits;
  const size_t row_bytes = (row_bits + 7) / 8, stride = (row_bits + 31) / 32 * 4;
  const auto rows = static_cast<size_t>(header.height);
  file.part(header.pixels_at, (rows - 1) * stride + row_bytes);  // the padding of the last row may be missing
  std::vector<uint8_t> indices(header.bits <= 8 ? static_cast<size_t>(header.width) : 0);
  const std::array<Color, 256> palette = header.bits <= 8 ? read_palette(file, header) : std::array<Color, 256>{};
  const std::optional<std::array<Channel, 3>> channels = header.bits <= 8 ? std::nullopt : std::optional(channels_of(header, file.name()));
  for (size_t y = 0; y < rows; ++y) {
    const std::span<const uint8_t> packed = file.part(header.pixels_at + y * stride, row_bytes);
    uint8_t* const out = row_of(picture, header, static_cast<int64_t>(y));
    if (channels) {
      unpack_colors(packed, header.bits, *channels, out);
    } else {
      unpack_indices(packed, header.bits, indices);
      paint(indices, palette, out);
    }
  }
}

/// Reads runs exactly as Pillow does, also where files break the rules: skipped pixels get index 0, a run ends with its row, literal bytes
/// may continue in the next row, and an odd number of them is padded to an even position in the file.
class Runs {
 public:
  Runs(const File& file, const Header& header)
      : file_(file), wide_(static_cast<size_t>(header.width)), four_bits_(header.compression == kRle4), at_(header.pixels_at) {
    indices_.reserve(wide_ * static_cast<size_t>(header.height));
    most_ = wide_ * static_cast<size_t>(header.height);
  }

  /// One index per pixel, from the file's first row on; too few if the file ends too early.
  std::vector<uint8_t> read() {
    while (indices_.size() < most_ && at_ + 2 <= file_.size()) {
      const size_t count = file_[at_], value = file_[at_ + 1];
      at_ += 2;
      if (count > 0) {
        repeat(count, static_cast<uint8_t>(value));
      } else if (value == 0) {
        while (indices_.size() % wide_ != 0) indices_.push_back(0);
        x_ = 0;
      } else if (value == 1 || !(value == 2 ? skip() : copy(value))) {
        break;
      }
    }
    return std::move(indices_);
  }

 private:
  void repeat(size_t count, uint8_t value) {
    if (x_ + count > wide_) count = wide_ > x_ ? wide_ - x_ : 0;
    for (size_t i = 0; i < count; ++i) indices_.push_back(!four_bits_ ? value : i % 2 == 0 ? value >> 4 : value & 15);
    x_ += count;
  }

  bool skip() {
    if (at_ + 2 > file_.size()) return false;
    indices_.resize(std::min(most_, indices_.size() + file_[at_] + file_[at_ + 1] * wide_), 0);
    at_ += 2;
    x_ = indices_.size() % wide_;
    return true;
  }

  bool copy(size_t wanted) {
    const size_t count = std::min(most_ - indices_.size(), wanted);
    const size_t bytes = four_bits_ ? (count + 1) / 2 : count;
    const size_t there = std::min(bytes, file_.size() - at_);
    for (size_t i = 0; i < there; ++i) {
      const uint8_t byte = file_[at_ + i];
      indices_.push_back(four_bits_ ? byte >> 4 : byte);
      if (four_bits_ && 2 * i + 1 < count) indices_.push_back(byte & 15);
    }
    at_ += there;
    if (there < bytes || indices_.size() == most_) return false;
    x_ += wanted;
    at_ += at_ % 2;
    return true;
  }

  const File& file_;
  size_t wide_, most_ = 0;
  bool four_bits_;
  size_t at_;
  size_t x_ = 0;
  std::vector<uint8_t> indices_;
};

void decode_runs(const File& file, const Header& header, Picture& picture) {
  const std::vector<uint8_t> indices = Runs(file, header).read();
  const auto wide = static_cast<size_t>(header.width), rows = static_cast<size_t>(header.height);
  if (indices.size() < wide * rows) throw DataError(fmt::format("{}: the BMP is cut off", file.name()), "was it copied completely?");
  const std::array<Color, 256> palette = read_palette(file, header);
  for (size_t y = 0; y < rows; ++y)
    paint(std::span(indices).subspan(y * wide, wide), palette, row_of(picture, header, static_cast<int64_t>(y)));
}

}  // namespace

bool is_bmp(std::span<const uint8_t> bytes) {
  const auto number = [&](size_t at, size_t count) {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) value |= uint32_t{bytes[at + i]} << (8 * i);
    return value;
  };
  constexpr uint32_t kNoHeaderIsLarger = 256;  // "BM" also begins ordinary words
  if (bytes.size() >= 2 && bytes[0] == 'B' && bytes[1] == 'M')
    return bytes.size() < kFileHeaderBytes + 4 || number(kFileHeaderBytes, 4) < kNoHeaderIsLarger;
  if (bytes.size() < kInfoHeaderBytes) return false;
  const uint32_t size = number(0, 4);
  if (std::find(kHeaderSizes.begin(), kHeaderSizes.end(), size) == kHeaderSizes.end()) return false;
  const size_t planes_at = size == kCoreHeaderBytes ? 8 : 12;
  const uint32_t bits = number(planes_at + 2, 2);
  return number(planes_at, 2) == 1 && (bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32);
}

Picture decode_bmp(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  const File file(bytes, name);
  const Header header = read_header(file);
  check(header, name, bytes.size(), most_pixels);
  Picture picture(static_cast<int>(header.width), static_cast<int>(header.height));
  header.compression == kRle8 || header.compression == kRle4 ? decode_runs(file, header, picture) : decode_plain(file, header, picture);
  return picture;
}

}  // namespace mirilla::data::detail
