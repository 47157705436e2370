// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/pictures/chunks.h"
#include "data/pictures/decode_kinds.h"
#include "data/pictures/png_checks.h"
#include "data/pictures/undecoded.h"
#include "kernels/core/error.h"

namespace {

// A picture of a few kilobytes may unpack to any size, so stb_image may not allocate more than the size in the header justifies. Per
// thread.
thread_local size_t block_limit = 0;

void* limited_malloc(size_t bytes) { return bytes <= block_limit ? std::malloc(bytes) : nullptr; }
void* limited_realloc(void* block, size_t bytes) { return bytes <= block_limit ? std::realloc(block, bytes) : nullptr; }

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_ONLY_PNG
#define STBI_ONLY_PSD
#define STBI_ONLY_PNM
#define STBI_ONLY_TGA
#define STBI_ASSERT(x) ((void)0)
#define STBI_MALLOC(bytes) limited_malloc(bytes)
#define STBI_REALLOC(block, bytes) limited_realloc(block, bytes)
#define STBI_FREE(block) std::free(block)
#include <stb_image.h>

namespace mirilla::data::detail {

namespace {

/// The file, in pieces, as a reader for stb_image. stb_image ignores the early end of a file (missing pixels become black, or whatever was
/// in memory), so this class records reads past the end.
class Reader {
 public:
  explicit Reader(std::vector<std::span<const uint8_t>> pieces) : pieces_(std::move(pieces)) {
    stbi_io_callbacks callbacks{.read = read, .skip = skip, .eof = [](void* self) { return static_cast<Reader*>(self)->at_end() ? 1 : 0; }};
    stbi__start_callbacks(&context_, &callbacks, this);
  }
  explicit Reader(std::span<const uint8_t> bytes) : Reader(std::vector{bytes}) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  stbi__context* context() { return &context_; }
  bool asked_too_much() const { return asked_too_much_; }

 private:
  bool at_end() const { return piece_ == pieces_.size(); }

  /// Reads as many bytes as exist, into `out` if it is not null.
  size_t take(char* out, size_t wanted) {
    size_t taken = 0;
    while (taken < wanted && !at_end()) {
      const std::span<const uint8_t> rest = pieces_[piece_].subspan(at_);
      const size_t count = std::min(wanted - taken, rest.size());
      if (out && count > 0) std::memcpy(out + taken, rest.data(), count);
      taken += count;
      at_ += count;
      if (count == rest.size()) ++piece_, at_ = 0;
    }
    return taken;
  }

  static int read(void* pointer, char* out, int size) {
    Reader& self = *static_cast<Reader*>(pointer);
    const size_t wanted = static_cast<size_t>(std::max(size, 0));
    const size_t count = self.take(out, wanted);
    // Into its own buffer stb_image reads ahead; into any other address it reads only what it needs.
    const bool ahead = reinterpret_cast<stbi_uc*>(out) == self.context_.buffer_start;
    if (count < wanted && (!ahead || count == 0)) self.asked_too_much_ = true;
    return static_cast<int>(count);
  }

  static void skip(void* pointer, int size) {
    Reader& self = *static_cast<Reader*>(pointer);
    const size_t wanted = static_cast<size_t>(std::max(size, 0));
    if (self.take(nullptr, wanted) < wanted) self.asked_too_much_ = true;
  }

  std::vector<std::span<const uint8_t>> pieces_;
  size_t piece_ = 0, at_ = 0;
  bool asked_too_much_ = false;
  stbi__context context_{};
};

bool is_pnm(std::span<const uint8_t> bytes) { return begins_with(bytes, "P5") || begins_with(bytes, "P6"); }

/// TGA has no signature: this checks that all fields of the header are consistent, which no text and no other kind satisfies.
bool is_tga(std::span<const uint8_t> bytes) {
  constexpr size_t kHeaderBytes = 18;
  if (bytes.size() < kHeaderBytes) return false;
  const uint32_t has_palette = bytes[1], kind = bytes[2] & ~8u, color_bits = bytes[7], bits = bytes[16];  // 8: packed
  const bool sizes = little_number(bytes, 12, 2) > 0 && little_number(bytes, 14, 2) > 0;
  if (!sizes || has_palette > 1 || bytes[2] > 11 || (bytes[17] & 0xC0) != 0) return false;
  const auto is_color = [](uint32_t depth) { return depth == 15 || depth == 16 || depth == 24 || depth == 32; };
  if (kind == 1) return has_palette == 1 && is_color(color_bits) && (bits == 8 || bits == 16);
  if (kind == 2) return is_color(bits);
  return kind == 3 && (bits == 8 || bits == 16);
}

/// The third number of a PPM or PGM header: the value of full brightness.
int64_t pnm_levels(std::span<const uint8_t> bytes) {
  size_t at = 2;
  int64_t value = 0;
  for (int number = 0; number < 3; ++number) {
    while (at < bytes.size() && (std::isspace(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#') {
        while (at < bytes.size() && bytes[at] != '\n' && bytes[at] != '\r') ++at;
      } else {
        ++at;
      }
    }
    value = 0;
    for (; at < bytes.size() && std::isdigit(bytes[at]) && value < 1'000'000'000; ++at) value = 10 * value + (bytes[at] - '0');
  }
  return value;
}

struct Header {
  int width = 0;
  int height = 0;
  int channels = 0;
  bool is_16_bit = false;
};

[[noreturn]] void throw_bad(std::string_view name, bool cut_off) {
  if (cut_off) throw DataError(fmt::format("{}: the picture is cut off", name), "was it copied completely?");
  throw DataError(fmt::format("{}: the picture does not decode: it is damaged, or of a rare variant of its kind", name),
                  "save it as JPEG or PNG");
}

Header read_header(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  block_limit = 2 * bytes.size() + (size_t{1} << 20);
  Header header;
  Reader reader(bytes);
  if (!stbi__info_main(reader.context(), &header.width, &header.height, &header.channels)) throw_bad(name, reader.asked_too_much());
  check_picture_size(header.width, header.height, name, most_pixels);
  check_pixels_fit(header.width, header.height, bytes.size(), name);
  Reader again(bytes);
  header.is_16_bit = stbi__is_16_main(again.context()) != 0;
  return header;
}

struct FreeBlock {
  void operator()(void* block) const { std::free(block); }
};

void check_result(const void* pixels, const Reader& reader, int width, int height, const Header& header, std::string_view name) {
  if (!pixels || reader.asked_too_much()) throw_bad(name, reader.asked_too_much());
  if (width != header.width || height != header.height)
    throw DataError(fmt::format("{}: the picture's size differs from its header's", name));
}

}  // namespace

bool is_other(std::span<const uint8_t> bytes) {
  constexpr std::string_view kPsdMark{"8BPS\0\1", 6};
  return begins_with(bytes, kPngMark) || begins_with(bytes, kPsdMark) || is_pnm(bytes) ||
         (undecoded_kind(bytes).what.empty() && is_tga(bytes));
}

Picture decode_other(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  if (is_pnm(bytes) && pnm_levels(bytes) != 255) {
    throw DataError(fmt::format("{}: expected a PPM or PGM of 255 levels, got {}", name, pnm_levels(bytes)));
  }
  const Header header = read_header(bytes, name, most_pixels);
  std::optional<PatchedPng> patched;
  if (begins_with(bytes, kPngMark)) {
    check_png(bytes, name);
    patched = with_whole_palette(bytes);
  }
  Picture picture(header.width, header.height);
  // The widest pixel takes 8 bytes, and stb_image doubles a buffer that is too small.
  block_limit = 16 * picture.pixels.size() / 3 + 2 * bytes.size() + (size_t{1} << 20);
  Reader reader(patched ? std::vector<std::span<const uint8_t>>{patched->before, patched->chunk, patched->after} : std::vector{bytes});
  int width = 0, height = 0, channels = 0;
  if (header.is_16_bit && header.channels == 1) {  // as Pillow's I;16 to RGB: values above 255 are clipped, not scaled
    const std::unique_ptr<stbi__uint16, FreeBlock> grey(stbi__load_and_postprocess_16bit(reader.context(), &width, &height, &channels, 1));
    check_result(grey.get(), reader, width, height, header, name);
    for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(std::min<int>(grey.get()[i / 3], 255));
    return picture;
  }
  const std::unique_ptr<stbi_uc, FreeBlock> rgb(stbi__load_and_postprocess_8bit(reader.context(), &width, &height, &channels, 3));
  check_result(rgb.get(), reader, width, height, header, name);
  std::memcpy(picture.pixels.data(), rgb.get(), picture.pixels.size());
  return picture;
}

}  // namespace mirilla::data::detail
