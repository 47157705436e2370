// SPDX-License-Identifier: MIT
#include "data/pictures/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace mirilla::data {

namespace {

constexpr int kPrecisionBits = 22;  // Pillow's 32 - 8 - 2
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

uint8_t clip8(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

/// For each output pixel along one axis, its input pixels: first, count, and count coefficients in a row of `stride`.
struct Taps {
  int stride = 0;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> weights;
};

/// Pillow's precompute_coeffs and normalize_coeffs_8bpc for the triangle filter, operation by operation.
Taps make_taps(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_scale;  // the triangle's own support is 1
  const double inverse = 1.0 / filter_scale;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weights.assign(static_cast<size_t>(taps.stride) * static_cast<size_t>(out), 0);
  std::vector<double> w(static_cast<size_t>(taps.stride));
  for (int x = 0; x < out; ++x) {
    const double centre = (x + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int count = std::min(static_cast<int>(centre + support + 0.5), in) - first;
    double sum = 0;
    for (int i = 0; i < count; ++i) {
      const double distance = std::abs((i + first - centre + 0.5) * inverse);
      w[static_cast<size_t>(i)] = distance < 1.0 ? 1.0 - distance : 0.0;
      sum += w[static_cast<size_t>(i)];
    }
    int32_t* row = taps.weights.data() + static_cast<size_t>(x) * static_cast<size_t>(taps.stride);
    for (int i = 0; i < count; ++i) {
      const double normal = sum != 0.0 ? w[static_cast<size_t>(i)] / sum : w[static_cast<size_t>(i)];
      row[i] = static_cast<int32_t>(0.5 + normal * (1 << kPrecisionBits));
    }
    taps.first.push_back(first);
    taps.count.push_back(count);
  }
  return taps;
}

/// Resizes one row of pixels horizontally. Reads 3 * in bytes, writes 3 * out.
void resize_row(const uint8_t* in, uint8_t* out, const Taps& taps) {
  const size_t n = taps.first.size();
  for (size_t x = 0; x < n; ++x) {
    const uint8_t* p = in + taps.first[x] * 3;
    const int32_t* w = taps.weights.data() + x * static_cast<size_t>(taps.stride);
    int32_t r = kHalf, g = kHalf, b = kHalf;
    for (int i = 0; i < taps.count[x]; ++i, p += 3) {
      r += p[0] * w[i];
      g += p[1] * w[i];
      b += p[2] * w[i];
    }
    out[3 * x] = clip8(r);
    out[3 * x + 1] = clip8(g);
    out[3 * x + 2] = clip8(b);
  }
}

/// One row of the result from its input rows: `bytes` columns side by side, in a loop that vectorises.
void blend_rows(const uint8_t* rows, size_t bytes, int count, const int32_t* w, uint8_t* out, std::vector<int32_t>& sums) {
  sums.assign(bytes, kHalf);
  for (int i = 0; i < count; ++i) {
    const uint8_t* row = rows + static_cast<size_t>(i) * bytes;
    int32_t* sum = sums.data();
    const int32_t weight = w[i];
    for (size_t j = 0; j < bytes; ++j) sum[j] += row[j] * weight;
  }
  for (size_t j = 0; j < bytes; ++j) out[j] = clip8(sums[j]);
}

void check(const Picture& picture, const Box& box, int width, int height, size_t out_bytes) {
  if (width < 1 || height < 1) throw ShapeError(fmt::format("resize: the size must be positive and is {}x{}", width, height));
  const bool inside = box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 && box.width <= picture.width - box.x &&
                      box.height <= picture.height - box.y;
  if (!inside) {
    throw ShapeError(fmt::format("resize: the box {}x{} at ({},{}) is empty or not inside the picture of {}x{}", box.width, box.height,
                                 box.x, box.y, picture.width, picture.height));
  }
  const size_t wanted = static_cast<size_t>(width) * static_cast<size_t>(height) * 3;
  if (out_bytes != wanted)
    throw ShapeError(fmt::format("resize: {}x{} takes {} bytes and the output has {}", width, height, wanted, out_bytes));
}

}  // namespace

void resize_bilinear(const Picture& picture, const Box& box, int width, int height, std::span<uint8_t> out) {
  check(picture, box, width, height, out.size());
  const size_t row_bytes = static_cast<size_t>(width) * 3;
  const bool across = box.width != width;
  const bool down = box.height != height;
  // Pillow skips a pass that changes nothing; its coefficients would be 1 and give the same bytes.
  std::vector<uint8_t> narrow;
  if (down) narrow.resize(row_bytes * static_cast<size_t>(box.height));
  uint8_t* first_pass = down ? narrow.data() : out.data();
  const Taps horizontal = across ? make_taps(box.width, width) : Taps{};
  for (int y = 0; y < box.height; ++y) {
    const uint8_t* in = picture.at(box.x, box.y + y);
    uint8_t* row = first_pass + row_bytes * static_cast<size_t>(y);
    if (across) {
      resize_row(in, row, horizontal);
    } else {
      std::memcpy(row, in, row_bytes);
    }
  }
  if (!down) return;
  const Taps vertical = make_taps(box.height, height);
  std::vector<int32_t> sums;
  for (int y = 0; y < height; ++y) {
    const auto at = static_cast<size_t>(y);
    blend_rows(narrow.data() + row_bytes * static_cast<size_t>(vertical.first[at]), row_bytes, vertical.count[at],
               vertical.weights.data() + at * static_cast<size_t>(vertical.stride), out.data() + row_bytes * at, sums);
  }
}

Picture resize_bilinear(const Picture& picture, const Box& box, int width, int height) {
  if (width < 1 || height < 1) throw ShapeError(fmt::format("resize: the size must be positive and is {}x{}", width, height));
  Picture result(width, height);
  resize_bilinear(picture, box, width, height, result.pixels);
  return result;
}

Box resize_crop_box(int picture_width, int picture_height, int size, double pct_x, double pct_y) {
  if (size < 1 || picture_width < 1 || picture_height < 1) {
    throw ShapeError(
        fmt::format("resize_crop: sizes must be positive, got a picture of {}x{} and a size of {}", picture_width, picture_height, size));
  }
  if (!(pct_x >= 0 && pct_x <= 1 && pct_y >= 0 && pct_y <= 1)) {
    throw ShapeError(fmt::format("resize_crop: the draws must be in [0,1] and are {} and {}", pct_x, pct_y));
  }
  // fastai: m = w/size if w < h else h/size; (int(m*size), int(m*size))
  const double m = static_cast<double>(std::min(picture_width, picture_height)) / size;
  const int side = std::max(static_cast<int>(m * size), 1);
  return {.x = static_cast<int>(pct_x * (picture_width - side)),
          .y = static_cast<int>(pct_y * (picture_height - side)),
          .width = side,
          .height = side};
}

bool resize_crop_is_fixed(int picture_width, int picture_height, int size) {
  const int side = resize_crop_box(picture_width, picture_height, size, 0, 0).width;
  return std::max(picture_width, picture_height) - side <= 1;  // int(pct * 1) is 0 below 1
}

void resize_crop(const Picture& picture, int size, double pct_x, double pct_y, std::span<uint8_t> out) {
  resize_bilinear(picture, resize_crop_box(picture.width, picture.height, size, pct_x, pct_y), size, size, out);
}

Picture resize_crop(const Picture& picture, int size, double pct_x, double pct_y) {
  return resize_bilinear(picture, resize_crop_box(picture.width, picture.height, size, pct_x, pct_y), size, size);
}

CropDraw crop_draw(uint64_t seed, int64_t epoch, int64_t item) {
  const auto block =
      RandomKey{.seed = seed, .purpose = Purpose::kCrop, .step = static_cast<uint32_t>(epoch), .item = static_cast<uint32_t>(item)}.block(
          0);
  return {.x = to_unit(block[0]), .y = to_unit(block[1])};
}

}  // namespace mirilla::data
