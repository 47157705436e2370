// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mirilla::data {

/// A decoded picture: 8-bit RGB, rows top to bottom, no padding.
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // (height, width, 3)

  Picture() = default;
  Picture(int w, int h) : width(w), height(h), pixels(static_cast<size_t>(w) * static_cast<size_t>(h) * 3) {}

  uint8_t* at(int x, int y) { return pixels.data() + (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) * 3; }
  const uint8_t* at(int x, int y) const { return const_cast<Picture*>(this)->at(x, y); }
  bool operator==(const Picture&) const = default;
};

}  // namespace mirilla::data
