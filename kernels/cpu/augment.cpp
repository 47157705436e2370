// SPDX-License-Identifier: MIT
// The two samplings are one sum: a pixel of the result is a weighted mean of warped pixels (two per axis, more where the crop is
// averaged first), and each of those is a blend of four source pixels. The weights along an axis are the same for every row and column, so
// they are computed once per crop.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"
#include "kernels/host/threads.h"

namespace mirilla {
namespace {

/// A crop along one axis: `extent` pixels from `first`, averaged to `cells`, sampled at `out` places.
struct Axis {
  int64_t first = 0, extent = 0, cells = 0, out = 0;
  bool operator==(const Axis&) const = default;
};

/// AugmentTaps with the memory they need.
struct Taps {
  explicit Taps(const Axis& axis) : axis_(axis) {
    // A cell is at most ceil(extent / cells) + 1 pixels, and an output reads two of them.
    const int64_t in_cell = axis.cells == axis.extent ? 1 : (axis.extent + axis.cells - 1) / axis.cells + 1;
    count_ = 2 * in_cell;
    position_.assign(static_cast<size_t>(count_ * axis.out), static_cast<int32_t>(axis.first));
    weight_.assign(position_.size(), 0.f);
    for (int64_t i = 0; i < axis.out; ++i) {
      const double u = axis.out == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(axis.out - 1);
      const double place = u * static_cast<double>(axis.cells - 1);
      const int64_t cell = std::min(static_cast<int64_t>(place), std::max<int64_t>(axis.cells - 2, 0));
      const double share = place - static_cast<double>(cell);
      add_cell(i, 0, cell, 1 - share);
      if (cell + 1 < axis.cells) add_cell(i, in_cell, cell + 1, share);
    }
  }

  const Axis& axis() const { return axis_; }
  cpu::AugmentTaps get() const { return {static_cast<int32_t>(count_), static_cast<int32_t>(axis_.out), position_.data(), weight_.data()}; }

 private:
  void add_cell(int64_t i, int64_t slot, int64_t cell, double share) {
    const int64_t begin = cell * axis_.extent / axis_.cells, end = ((cell + 1) * axis_.extent + axis_.cells - 1) / axis_.cells;
    for (int64_t x = begin; x < end; ++x, ++slot) {
      position_[static_cast<size_t>(slot * axis_.out + i)] = static_cast<int32_t>(axis_.first + x);
      weight_[static_cast<size_t>(slot * axis_.out + i)] = static_cast<float>(share / static_cast<double>(end - begin));
    }
  }

  Axis axis_;
  int64_t count_ = 0;
  std::vector<int32_t> position_;
  std::vector<float> weight_;
};

/// Rows and columns of one crop: left, top, width, height.
std::array<Axis, 2> axes_of(const float* crop, int64_t out_height, int64_t out_width) {
  Axis x{static_cast<int64_t>(crop[0]), static_cast<int64_t>(crop[2]), static_cast<int64_t>(crop[2]), out_width};
  Axis y{static_cast<int64_t>(crop[1]), static_cast<int64_t>(crop[3]), static_cast<int64_t>(crop[3]), out_height};
  const auto ratio = [](const Axis& axis) { return static_cast<double>(axis.extent) / static_cast<double>(axis.out); };
  const double d = std::min(ratio(x), ratio(y)) / 2;
  if (d > 1) {
    for (Axis* axis : {&x, &y}) axis->cells = static_cast<int64_t>(std::floor(static_cast<double>(axis->extent) * (1 / d)));
  }
  return {y, x};
}

using Matrix = std::array<double, 9>;  // (3,3)

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      for (size_t k = 0; k < 3; ++k) c[i * 3 + j] += a[i * 3 + k] * b[k * 3 + j];
    }
  }
  return c;
}

/// Warped pixel to source pixel, both in pixels, homogeneous: theta and the homography, with the conversions to and from [-1,1].
Matrix map_of(const float* p, int64_t height, int64_t width) {
  const auto to = [](int64_t n) { return n > 1 ? 2.0 / static_cast<double>(n - 1) : 0.0; };
  const auto from = [](int64_t n) { return static_cast<double>(n - 1) / 2; };
  const Matrix normalise{to(width), 0, width > 1 ? -1.0 : 0.0, 0, to(height), height > 1 ? -1.0 : 0.0, 0, 0, 1};
  const Matrix theta{p[0], p[1], p[2], p[3], p[4], p[5], 0, 0, 1};
  const Matrix warp{p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], 1};
  const Matrix to_pixels{from(width), 0, from(width), 0, from(height), from(height), 0, 0, 1};
  return product(to_pixels, product(warp, product(theta, normalise)));
}

/// Three bytes per pixel to four, so that one load fetches a pixel; the fourth is not used.
void widen(const uint8_t* from, int64_t pixels, uint32_t* to) {
  for (int64_t i = 0; i + 1 < pixels; ++i) std::memcpy(to + i, from + 3 * i, 4);
  const uint8_t* const last = from + 3 * (pixels - 1);
  to[pixels - 1] = last[0] | uint32_t{last[1]} << 8 | uint32_t{last[2]} << 16;
}

/// Picture n of a call, dense, with four bytes per pixel.
void widen_picture(const op::Augment& call, int64_t n, uint32_t* to) {
  const int64_t height = call.pictures.shape[1], width = call.pictures.shape[2];
  const auto* const x = call.pictures.data<uint8_t>();
  if (!call.places) return widen(x + n * height * width * 3, height * width, to);
  const int64_t* const place = call.places.data<int64_t>() + n * 2;
  for (int64_t i = 0; i < height; ++i) widen(x + place[0] + i * place[1], width, to + i * width);
}

/// All pictures of a call, ready for the row loop, except for their pixels.
struct Job {
  explicit Job(const op::Augment& call) : pictures(static_cast<size_t>(call.y.shape[0])) {
    const int64_t height = call.pictures.shape[1], width = call.pictures.shape[2];
    for (size_t n = 0; n < pictures.size(); ++n) {
      const float* const row = call.parameters.data<float>() + n * kAugmentParameters;
      const bool finite = std::all_of(row, row + 18, [](float x) { return std::isfinite(x); });
      const std::array whole{0.f, 0.f, static_cast<float>(width), static_cast<float>(height)};
      const auto [y, x] = axes_of(finite ? row + 14 : whole.data(), call.y.shape[1], call.y.shape[2]);
      cpu::AugmentPicture& picture = pictures[n];
      picture = {.height = static_cast<int32_t>(height),
                 .width = static_cast<int32_t>(width),
                 .rows = taps_of(y),
                 .columns = taps_of(x),
                 .lighting = call.lighting,
                 .shift = row[18],
                 .contrast = row[19]};
      std::ranges::copy(map_of(row, height, width), picture.map);
      if (!finite) std::ranges::fill(picture.map, std::numeric_limits<double>::quiet_NaN());
      for (size_t c = 0; c < 3; ++c) {
        picture.factor[c] = 1.f / call.std[c];
        picture.offset[c] = -call.mean[c] / call.std[c];
      }
    }
  }

  std::vector<cpu::AugmentPicture> pictures;

 private:
  cpu::AugmentTaps taps_of(const Axis& axis) {
    // Search the newest first: usually the whole batch has one crop.
    const auto known = std::find_if(taps_.rbegin(), taps_.rend(), [&](const auto& taps) { return taps->axis() == axis; });
    if (known != taps_.rend()) return (*known)->get();
    return taps_.emplace_back(std::make_unique<Taps>(axis))->get();
  }

  std::vector<std::unique_ptr<Taps>> taps_;
};

}  // namespace

template <>
void CpuBackend::execute(const op::Augment& call) {
  cpu::want_f32("augment", {call.parameters, call.y});
  const int64_t rows = call.y.shape[0] * call.y.shape[1], height = call.y.shape[1], width = call.y.shape[2];
  if (rows * width == 0) return;
  const int64_t pixels = call.pictures.shape[1] * call.pictures.shape[2];
  auto* const y = call.y.data<float>();
  const Job job(call);
  const auto kernel = cpu::loops().augment_row;
  const int64_t workers = std::min<int64_t>(host_threads(), rows);
  const auto wide = std::make_unique_for_overwrite<uint32_t[]>(static_cast<size_t>(workers * pixels));
  cpu::parallel_for(workers, [&](int64_t worker) {
    uint32_t* const own = wide.get() + worker * pixels;
    int64_t loaded = -1;
    for (int64_t r = rows * worker / workers; r < rows * (worker + 1) / workers; ++r) {
      const int64_t n = r / height;
      if (n != loaded) widen_picture(call, n, own);
      loaded = n;
      cpu::AugmentPicture picture = job.pictures[static_cast<size_t>(n)];
      picture.pixels = own;
      kernel(picture, static_cast<int32_t>(r % height), y + r * width * 3);
    }
  });
}

}  // namespace mirilla
