// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "data/decode_kinds.h"
#include "kernels/error.h"

namespace {

// A picture of a few kilobytes may unpack to any size, so stb_image may take no block beyond what the header's size justifies. For each
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
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
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

/// The bytes as stb_image's reader. It does not mind where a file ends too early (missing pixels come out black, or as they lay in memory),
/// so this notes when more was asked for than there is.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {
    stbi_io_callbacks callbacks{
        .read = read, .skip = skip, .eof = [](void* self) { return static_cast<Reader*>(self)->left() == 0 ? 1 : 0; }};
    stbi__start_callbacks(&context_, &callbacks, this);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  stbi__context* context() { return &context_; }
  bool asked_too_much() const { return asked_too_much_; }

 private:
  size_t left() const { return bytes_.size() - at_; }

  static int read(void* pointer, char* out, int size) {
    Reader& self = *static_cast<Reader*>(pointer);
    const size_t wanted = static_cast<size_t>(std::max(size, 0));
    const size_t count = std::min(wanted, self.left());
    // stb_image fills its own buffer ahead of need; anywhere else it asks for what it needs.
    const bool ahead = reinterpret_cast<stbi_uc*>(out) == self.context_.buffer_start;
    if (count < wanted && (!ahead || count == 0)) self.asked_too_much_ = true;
    if (count > 0) std::memcpy(out, self.bytes_.data() + self.at_, count);
    self.at_ += count;
    return static_cast<int>(count);
  }

  static void skip(void* pointer, int size) {
    Reader& self = *static_cast<Reader*>(pointer);
    const size_t wanted = static_cast<size_t>(std::max(size, 0));
    if (wanted > self.left()) self.asked_too_much_ = true;
    self.at_ += std::min(wanted, self.left());
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  bool asked_too_much_ = false;
  stbi__context context_{};
};

bool begins_with(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

bool is_pnm(std::span<const uint8_t> bytes) { return begins_with(bytes, "P5") || begins_with(bytes, "P6"); }

bool is_known(std::span<const uint8_t> bytes, std::string_view name) {
  if (is_pnm(bytes) || begins_with(bytes, "\x89PNG\r\n\x1a\n") || begins_with(bytes, "BM") || begins_with(bytes, "GIF8") ||
      begins_with(bytes, "8BPS"))
    return true;
  const size_t dot = name.rfind('.');  // TGA has no mark of its own
  if (dot == std::string_view::npos) return false;
  std::string extension(name.substr(dot));
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".tga";
}

/// The third number of a PPM or PGM header: what stands for full brightness.
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
  const char* reason = stbi_failure_reason();
  if (cut_off) throw DataError(fmt::format("{}: the picture is cut off", name), "was it copied whole?");
  throw DataError(fmt::format("{}: the picture does not decode ({})", name, reason ? reason : "unknown reason"));
}

Header read_header(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  block_limit = 2 * bytes.size() + (size_t{1} << 20);
  Header header;
  Reader reader(bytes);
  if (!stbi__info_main(reader.context(), &header.width, &header.height, &header.channels)) throw_bad(name, reader.asked_too_much());
  check_picture_size(header.width, header.height, bytes.size(), name, most_pixels);
  Reader again(bytes);
  header.is_16_bit = stbi__is_16_main(again.context()) != 0;
  return header;
}

struct FreeBlock {
  void operator()(void* block) const { std::free(block); }
};

void check_result(const void* pixels, const Reader& reader, int width, int height, const Header& header, std::string_view name) {
  if (!pixels || reader.asked_too_much()) throw_bad(name, reader.asked_too_much());
  if (width != header.width || height != header.height) throw DataError(fmt::format("{}: the picture contradicts its header's size", name));
}

}  // namespace

Picture decode_other(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  if (!is_known(bytes, name))
    throw DataError(fmt::format("{}: not a picture of a kind that is decoded", name), "jpg, png, bmp, gif, tga, psd, ppm and pgm are");
  if (is_pnm(bytes) && pnm_levels(bytes) != 255) {
    throw DataError(fmt::format("{}: {} levels where only PPM and PGM of 255 are decoded", name, pnm_levels(bytes)));
  }
  const Header header = read_header(bytes, name, most_pixels);
  Picture picture(header.width, header.height);
  // The widest pixel takes 8 bytes, and stb_image doubles what turns out too small.
  block_limit = 16 * picture.pixels.size() / 3 + 2 * bytes.size() + (size_t{1} << 20);
  Reader reader(bytes);
  int width = 0, height = 0, channels = 0;
  if (header.is_16_bit && header.channels == 1) {  // Pillow's I;16 to RGB: values above 255 are clipped, not scaled
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
