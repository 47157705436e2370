// SPDX-License-Identifier: MIT
#include "data/write/png_write.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_image_write.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

struct Free {
  void operator()(unsigned char* p) const { std::free(p); }
};

std::vector<uint8_t> encode(std::span<const uint8_t> pixels, int width, int height, int channels) {
  const auto expected = static_cast<size_t>(std::max(width, 0)) * static_cast<size_t>(std::max(height, 0)) * static_cast<size_t>(channels);
  if (pixels.empty() || pixels.size() != expected) {
    throw ShapeError(
        fmt::format("png: {} x {} pixels of {} channels: expected {} bytes, got {}", width, height, channels, expected, pixels.size()));
  }
  int size = 0;
  const std::unique_ptr<unsigned char, Free> bytes(stbi_write_png_to_mem(pixels.data(), width * channels, width, height, channels, &size));
  if (!bytes) throw std::bad_alloc();
  return {bytes.get(), bytes.get() + size};
}

}  // namespace

std::vector<uint8_t> encode_png(const Picture& picture) { return encode(picture.pixels, picture.width, picture.height, 3); }

std::vector<uint8_t> encode_png_grey(std::span<const uint8_t> pixels, int width, int height) { return encode(pixels, width, height, 1); }

void write_png(const std::string& path, const Picture& picture) { write_atomically(path, encode_png(picture)); }

void write_png_grey(const std::string& path, std::span<const uint8_t> pixels, int width, int height) {
  write_atomically(path, encode_png_grey(pixels, width, height));
}

}  // namespace mirilla::data
