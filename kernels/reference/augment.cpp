// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"

namespace mirilla {
namespace {

using Colour = std::array<double, 3>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Coordinate i of n between -1 and 1, the ends included.                       [torch.nn.functional.affine_grid, align_corners=True]
double coordinate(int64_t i, int64_t n) { return n == 1 ? 0.0 : -1.0 + 2.0 * static_cast<double>(i) / static_cast<double>(n - 1); }

/// The position in pixels 0 .. n-1 of a coordinate, mirrored at the centres of the outermost pixels.
/// NaN for a value that is not finite.                [torch.nn.functional.grid_sample, padding_mode='reflection', align_corners=True]
double reflected(double u, int64_t n) {
  if (n == 1) return std::abs(0.0 * u);
  const auto last = static_cast<double>(n - 1);
  const double i = std::abs((u + 1) / 2 * last);
  const double crossings = std::floor(i / last);
  const double rest = i - crossings * last;
  return std::clamp(std::fmod(crossings, 2.0) == 0.0 ? rest : last - rest, 0.0, last);
}

/// Blends the four pixels around (x,y) of a (height, width) picture; pixel(y, x) gives one of them. NaN where x or y is NaN.
template <class Pixel>
Colour bilinear(double x, double y, int64_t height, int64_t width, Pixel&& pixel) {
  if (std::isnan(x) || std::isnan(y)) return {kNan, kNan, kNan};
  const auto x0 = static_cast<int64_t>(x), y0 = static_cast<int64_t>(y);
  const int64_t x1 = std::min(x0 + 1, width - 1), y1 = std::min(y0 + 1, height - 1);  // at the last pixel their weight is 0
  const double fx = x - static_cast<double>(x0), fy = y - static_cast<double>(y0);
  const Colour a = pixel(y0, x0), b = pixel(y0, x1), c = pixel(y1, x0), d = pixel(y1, x1);
  Colour out;
  for (size_t k = 0; k < 3; ++k) out[k] = (a[k] * (1 - fx) + b[k] * fx) * (1 - fy) + (c[k] * (1 - fx) + d[k] * fx) * fy;
  return out;
}

/// The position of a picture in memory.
struct Pixels {
  const uint8_t* first;
  int64_t row_bytes;
};

Pixels pixels_of(const op::Augment& call, int64_t n) {
  const int64_t row_bytes = call.pictures.shape[2] * 3;
  const auto* const start = call.pictures.data<uint8_t>();
  if (!call.places) return {start + n * call.pictures.shape[1] * row_bytes, row_bytes};
  const int64_t* const place = call.places.data<int64_t>() + n * 2;
  return {start + place[0], place[1]};
}

/// One picture in fastai's transforms. Each stage asks the one before it for single pixels, so nothing is stored between
/// stages.
class Picture {
 public:
  Picture(const Pixels& pixels, int64_t height, int64_t width, const float* row, int64_t out_height, int64_t out_width)
      : pixels_(pixels), height_(height), width_(width), out_height_(out_height), out_width_(out_width) {
    std::copy_n(row, 14, p_.begin());
    if (!std::all_of(row, row + 18, [](float x) { return std::isfinite(x); })) {
      p_.fill(kNan);
      return;
    }
    left_ = static_cast<int64_t>(row[14]), top_ = static_cast<int64_t>(row[15]);
    crop_width_ = pooled_width_ = static_cast<int64_t>(row[16]);
    crop_height_ = pooled_height_ = static_cast<int64_t>(row[17]);
    const double d = std::min(ratio(crop_height_, out_height), ratio(crop_width_, out_width)) / 2;
    if (d > 1) {
      pooled_height_ = static_cast<int64_t>(std::floor(static_cast<double>(crop_height_) * (1 / d)));
      pooled_width_ = static_cast<int64_t>(std::floor(static_cast<double>(crop_width_) * (1 / d)));
    }
  }

  /// Pixel (i,j) of the (h,w) result, before lighting.
  Colour cropped(int64_t i, int64_t j) const {
    const double x = reflected(coordinate(j, out_width_), pooled_width_), y = reflected(coordinate(i, out_height_), pooled_height_);
    return bilinear(x, y, pooled_height_, pooled_width_, [this](int64_t r, int64_t c) { return pooled(r, c); });
  }

 private:
  static double ratio(int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

  /// The mean of one cell of the crop; a cell is one pixel unless the result is smaller than half the crop.
  Colour pooled(int64_t i, int64_t j) const {
    const int64_t y0 = i * crop_height_ / pooled_height_, y1 = ((i + 1) * crop_height_ + pooled_height_ - 1) / pooled_height_;
    const int64_t x0 = j * crop_width_ / pooled_width_, x1 = ((j + 1) * crop_width_ + pooled_width_ - 1) / pooled_width_;
    Colour mean{};
    for (int64_t y = y0; y < y1; ++y) {
      for (int64_t x = x0; x < x1; ++x) {
        const Colour c = warped(top_ + y, left_ + x);
        for (size_t k = 0; k < 3; ++k) mean[k] += c[k] / static_cast<double>((y1 - y0) * (x1 - x0));
      }
    }
    return mean;
  }

  /// Pixel (i,j) of the (H,W) picture after affine map and warp.
  Colour warped(int64_t i, int64_t j) const {
    const double u = coordinate(j, width_), v = coordinate(i, height_);
    const double x = p_[0] * u + p_[1] * v + p_[2], y = p_[3] * u + p_[4] * v + p_[5];
    const double* const h = &p_[6];
    const double z = h[6] * x + h[7] * y + 1;
    const double xw = reflected((h[0] * x + h[1] * y + h[2]) / z, width_), yw = reflected((h[3] * x + h[4] * y + h[5]) / z, height_);
    return bilinear(xw, yw, height_, width_, [this](int64_t r, int64_t c) { return source(r, c); });
  }

  Colour source(int64_t i, int64_t j) const {
    const uint8_t* const at = pixels_.first + i * pixels_.row_bytes + j * 3;
    return {at[0] / 255.0, at[1] / 255.0, at[2] / 255.0};
  }

  Pixels pixels_;
  int64_t height_, width_, out_height_, out_width_;
  int64_t left_ = 0, top_ = 0, crop_width_ = 1, crop_height_ = 1, pooled_width_ = 1, pooled_height_ = 1;
  std::array<double, 14> p_{};  // theta, then the homography
};

double lit(double x, double shift, double contrast) {
  x = std::clamp(x, 1e-7, 1 - 1e-7);
  return 1 / (1 + std::exp(-(std::log(x / (1 - x)) + shift) * contrast));
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::Augment& call) {
  compute(call.y.dtype, "augment", [&]<class T>() {
    const int64_t in_height = call.pictures.shape[1], in_width = call.pictures.shape[2];
    const int64_t pictures = call.y.shape[0], height = call.y.shape[1], width = call.y.shape[2];
    T* const y = call.y.data<T>();
#pragma omp parallel for num_threads(loop_threads(pictures* height)) collapse(2)
    for (int64_t n = 0; n < pictures; ++n) {
      for (int64_t i = 0; i < height; ++i) {
        const float* const row = call.parameters.data<float>() + n * kAugmentParameters;
        const Picture picture(pixels_of(call, n), in_height, in_width, row, height, width);
        for (int64_t j = 0; j < width; ++j) {
          const Colour colour = picture.cropped(i, j);
          for (size_t k = 0; k < 3; ++k) {
            const double value = call.lighting ? lit(colour[k], row[18], row[19]) : colour[k];
            y[((n * height + i) * width + j) * 3 + static_cast<int64_t>(k)] = static_cast<T>((value - call.mean[k]) / call.std[k]);
          }
        }
      }
    }
  });
}

}  // namespace mirilla
