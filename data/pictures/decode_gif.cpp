// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "data/pictures/chunks.h"
#include "data/pictures/decode_kinds.h"
#include "kernels/core/error.h"

// A GIF's first picture as Pillow's GifImagePlugin and GifDecode.c read it: the rest of the screen has the transparent index, or 0,
// and transparent pixels have the colour of their index.
namespace mirilla::data::detail {

namespace {

using Bytes = std::span<const uint8_t>;
using Color = std::array<uint8_t, 3>;
using Palette = std::array<Color, 256>;

constexpr size_t kScreenBytes = 13, kImageBytes = 9;

[[noreturn]] void throw_cut_off(std::string_view name) {
  throw DataError(fmt::format("{}: the GIF is cut off", name), "was it copied completely?");
}

/// The file, read from its beginning to its end.
class File {
 public:
  File(Bytes bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  std::string_view name() const { return name_; }
  bool at_end() const { return bytes_.empty(); }
  Bytes take(size_t count) {
    if (count > bytes_.size()) throw_cut_off(name_);
    const Bytes taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  uint8_t byte() { return take(1)[0]; }
  /// A length and that many bytes; an empty block ends a sequence of blocks.
  Bytes block() { return take(byte()); }

 private:
  Bytes bytes_;
  std::string_view name_;
};

/// The colours for this many bits; for a palette that is a plain ramp of greys, the index is the grey value.
Palette read_palette(File& file, uint32_t bits) {
  const Bytes colors = file.take(size_t{3} << bits);
  Palette palette{}, greys{};
  bool counts_up = true;
  for (size_t i = 0; i < greys.size(); ++i) greys[i].fill(static_cast<uint8_t>(i));
  for (size_t i = 0; i < colors.size() / 3; ++i) {
    palette[i] = {colors[3 * i], colors[3 * i + 1], colors[3 * i + 2]};
    counts_up &= palette[i] == greys[i];
  }
  return counts_up ? greys : palette;
}

Palette grey_palette() {
  Palette greys;
  for (size_t i = 0; i < greys.size(); ++i) greys[i].fill(static_cast<uint8_t>(i));
  return greys;
}

struct Image {
  int64_t screen_width = 0, screen_height = 0;
  int64_t left = 0, top = 0, width = 0, height = 0;
  bool interlaced = false;
  uint8_t outside = 0;  // the index for the screen outside of the image
  Palette palette{};
  uint32_t bits = 0;  // of an index in the packed data, which follows
};

/// Reads an extension; returns the transparent index if this extension has it.
std::optional<uint8_t> read_extension(File& file) {
  constexpr uint8_t kControl = 0xF9, kComment = 0xFE;
  const uint8_t label = file.byte();
  Bytes block = file.block();
  std::optional<uint8_t> transparent;
  if (label == kControl && block.size() >= 4 && (block[0] & 1)) transparent = block[3];
  if (label == kComment && block.empty()) return transparent;
  while (!file.block().empty()) continue;
  return transparent;
}

Image read_image(File& file) {
  constexpr uint8_t kHasPalette = 0x80, kInterlaced = 0x40, kExtension = '!', kImage = ',', kTrailer = ';';
  const Bytes screen = file.take(kScreenBytes);
  Image image{.screen_width = little_number(screen, 6, 2), .screen_height = little_number(screen, 8, 2)};
  image.palette = screen[10] & kHasPalette ? read_palette(file, (screen[10] & 7u) + 1) : grey_palette();
  for (uint8_t kind = file.byte(); kind != kImage; kind = file.byte()) {
    if (kind == kTrailer) throw DataError(fmt::format("{}: the GIF contains no picture", file.name()), "save it as JPEG or PNG");
    if (kind != kExtension) continue;
    if (const std::optional<uint8_t> transparent = read_extension(file)) image.outside = *transparent;
  }
  const Bytes head = file.take(kImageBytes);
  image.left = little_number(head, 0, 2);
  image.top = little_number(head, 2, 2);
  image.width = little_number(head, 4, 2);
  image.height = little_number(head, 6, 2);
  image.screen_width = std::max(image.screen_width, image.left + image.width);
  image.screen_height = std::max(image.screen_height, image.top + image.height);
  image.interlaced = (head[8] & kInterlaced) != 0;
  if (head[8] & kHasPalette) image.palette = read_palette(file, (head[8] & 7u) + 1);
  image.bits = file.byte();
  return image;
}

/// The rows in the order in which the file stores them.
std::vector<int64_t> row_order(const Image& image) {
  struct Pass {
    int64_t first, step;
  };
  constexpr std::array<Pass, 4> kInterlaced = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  std::vector<int64_t> rows;
  for (const Pass& pass : kInterlaced) {
    if (image.interlaced)
      for (int64_t y = pass.first; y < image.height; y += pass.step) rows.push_back(y);
  }
  if (!image.interlaced)
    for (int64_t y = 0; y < image.height; ++y) rows.push_back(y);
  return rows;
}

/// LZW codes of growing length, lowest bits first, read from blocks.
class Codes {
 public:
  explicit Codes(File& file) : file_(file) {}

  uint32_t next(uint32_t bits) {
    while (count_ < bits) {
      while (block_.empty()) {
        block_ = file_.block();
        if (block_.empty()) throw_cut_off(file_.name());  // the last block of the picture, but pixels are missing
      }
      buffer_ |= uint32_t{block_[0]} << count_;
      count_ += 8;
      block_ = block_.subspan(1);
    }
    const uint32_t code = buffer_ & ((1u << bits) - 1);
    buffer_ >>= bits;
    count_ -= bits;
    return code;
  }

 private:
  File& file_;
  Bytes block_;
  uint32_t buffer_ = 0, count_ = 0;
};

/// Expands the codes: each one after the first means an earlier string plus one index.
class Unpacker {
 public:
  Unpacker(File& file, uint32_t bits) : codes_(file), name_(file.name()), bits_(bits), clear_(1u << bits) { forget(); }

  /// Some of the indices, at least one; they are valid until the next call.
  Bytes next() {
    uint32_t code = codes_.next(code_bits_);
    while (code == clear_) {
      forget();
      code = codes_.next(code_bits_);
    }
    if (code == clear_ + 1) throw_cut_off(name_);  // the end code, but pixels are missing
    if (!last_) {
      if (code > clear_) throw_damaged();
      last_ = code;
      first_ = static_cast<uint8_t>(code);
      begin_ = string_.size() - 1;
      string_[begin_] = first_;
    } else {
      spell(code);
      remember();
      last_ = code;
    }
    return Bytes(string_).subspan(begin_);
  }

 private:
  static constexpr size_t kMostCodes = 4096;
  static constexpr uint32_t kMostBits = 12;

  [[noreturn]] void throw_damaged() const {
    throw DataError(fmt::format("{}: the GIF is damaged: it does not decode", name_), "was it copied completely?");
  }

  void forget() {
    free_ = clear_ + 2;
    code_bits_ = bits_ + 1;
    last_.reset();
  }

  void spell(uint32_t code) {
    if (code > free_) throw_damaged();
    begin_ = string_.size();
    if (code == free_) {  // the last string and its own first index
      string_[--begin_] = first_;
      code = *last_;
    }
    for (; code >= clear_; code = before_[code]) {
      if (begin_ == 0 || code >= kMostCodes) throw_damaged();
      string_[--begin_] = index_[code];
    }
    if (begin_ == 0) throw_damaged();
    first_ = static_cast<uint8_t>(code);
    string_[--begin_] = first_;
  }

  void remember() {
    if (free_ >= kMostCodes) return;
    index_[free_] = first_;
    before_[free_] = *last_;
    if (free_ == (1u << code_bits_) - 1 && code_bits_ < kMostBits) ++code_bits_;
    ++free_;
  }

  Codes codes_;
  std::string_view name_;
  uint32_t bits_, clear_;
  uint32_t free_ = 0, code_bits_ = 0;  // the code of the next stored string; the current length of a code
  std::optional<uint32_t> last_;
  uint8_t first_ = 0;  // of the last string
  std::array<uint8_t, kMostCodes> index_{};
  std::array<uint32_t, kMostCodes> before_{};
  std::array<uint8_t, kMostCodes + 1> string_{};  // filled from its end
  size_t begin_ = 0;
};

void paint(File& file, const Image& image, Picture& picture) {
  for (size_t i = 0; i < picture.pixels.size(); i += 3)
    std::ranges::copy(image.palette[image.outside], picture.pixels.begin() + static_cast<ptrdiff_t>(i));
  Unpacker unpacker(file, image.bits);
  Bytes some;
  for (const int64_t y : row_order(image)) {
    uint8_t* out = picture.at(static_cast<int>(image.left), static_cast<int>(image.top + y));
    for (int64_t x = 0; x < image.width; ++x, some = some.subspan(1)) {
      if (some.empty()) some = unpacker.next();
      out = std::ranges::copy(image.palette[some[0]], out).out;
    }
  }
}

}  // namespace

bool is_gif(Bytes bytes) { return begins_with(bytes, "GIF87a") || begins_with(bytes, "GIF89a"); }

Picture decode_gif(Bytes bytes, std::string_view name, int64_t most_pixels) {
  File file(bytes, name);
  const Image image = read_image(file);
  check_picture_size(image.width, image.height, name, most_pixels);
  check_picture_size(image.screen_width, image.screen_height, name, most_pixels);
  check_pixels_fit(image.screen_width, image.screen_height, bytes.size(), name);
  constexpr uint32_t kMostIndexBits = 12;
  if (image.bits > kMostIndexBits)
    throw DataError(fmt::format("{}: the GIF is damaged: its indices have {} bits", name, image.bits), "was it copied completely?");
  Picture picture(static_cast<int>(image.screen_width), static_cast<int>(image.screen_height));
  paint(file, image, picture);
  return picture;
}

}  // namespace mirilla::data::detail
