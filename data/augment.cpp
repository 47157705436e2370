// SPDX-License-Identifier: MIT
#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace mirilla::data {
namespace {

/// The random numbers of one item, each at its own index.
struct Draws {
  RandomKey key;

  double unit(uint32_t index) const { return to_unit(key.bits(index)); }
  bool chance(uint32_t index, double p) const { return unit(index) < p; }
  double uniform(uint32_t index, double low, double high) const { return low + (high - low) * unit(index); }
  /// Number index decides whether number index + 1 is used or the neutral value.
  /// [fastai.vision.augment._draw_mask]
  double kept(uint32_t index, double p, double low, double high, double neutral) const {
    return chance(index, p) ? uniform(index + 1, low, high) : neutral;
  }
  /// 0 .. last, each equally likely.
  int integer(uint32_t index, int last) const {
    return static_cast<int>((uint64_t{key.bits(index)} * (static_cast<uint64_t>(last) + 1)) >> 32);
  }
};

/// From about 0.36, the horizon of two opposite warps enters a square picture.
constexpr double kWarpLimit = 1.0 / 3;

double logit(double p) { return std::log(p / (1 - p)); }

void check(const AugmentSpec& spec) {
  const auto share = [](double p) { return p >= 0 && p <= 1; };
  if (!share(spec.p_flip) || !share(spec.p_affine) || !share(spec.p_lighting)) {
    throw Error(fmt::format("augmentation: expected probabilities between 0 and 1, got {} to flip, {} for affine maps, {} for lighting",
                            spec.p_flip, spec.p_affine, spec.p_lighting));
  }
  if (!(spec.max_warp >= 0 && spec.max_warp < kWarpLimit)) {
    throw Error(fmt::format("augmentation: expected a warp of 0 or more and below {:.3g}, got {}", kWarpLimit, spec.max_warp),
                "a larger one may bring the horizon into the picture; 0.2 is usual");
  }
  if (!(spec.max_lighting >= 0 && spec.max_lighting < 1)) {
    throw Error(fmt::format("augmentation: expected a lighting of 0 or more and below 1, got {}", spec.max_lighting), "0.2 is usual");
  }
  if (!(spec.min_zoom > 0 && spec.min_zoom <= spec.max_zoom)) {
    throw Error(fmt::format("augmentation: expected 0 < min_zoom <= max_zoom, got {} and {}", spec.min_zoom, spec.max_zoom),
                "1 and 1.1 are usual");
  }
  if (!(spec.min_scale > 0 && spec.min_scale <= 1)) {
    throw Error(fmt::format("augmentation: expected a smallest crop above 0 and at most 1 of the area, got {}", spec.min_scale),
                "0.75 is usual");
  }
}

void check_extents(int height, int width) {
  if (height < 1 || width < 1) {
    throw ShapeError(fmt::format("augmentation: expected pictures of at least one pixel, got {} rows of {}", height, width));
  }
}

/// Solves a x = b in place by elimination with row pivoting.
template <size_t N>
std::array<double, N> solve(std::array<std::array<double, N>, N> a, std::array<double, N> b) {
  for (size_t k = 0; k < N; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < N; ++i) {
      if (std::abs(a[i][k]) > std::abs(a[pivot][k])) pivot = i;
    }
    if (std::abs(a[pivot][k]) < 1e-12) {
      throw Error("find_homography: expected four points of which no three are on one line");
    }
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    for (size_t i = k + 1; i < N; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (size_t j = k; j < N; ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (size_t k = N; k-- > 0;) {
    for (size_t j = k + 1; j < N; ++j) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

using Matrix = std::array<std::array<double, 3>, 2>;  // the upper two rows; the third is 0 0 1

Matrix operator*(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 3; ++j) c[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + (j == 2 ? a[i][2] : 0.0);
  }
  return c;
}

Matrix affine(const PictureDraw& draw, int height, int width) {
  const Matrix flip{{{draw.flip ? -1.0 : 1.0, 0, 0}, {0, 1, 0}}};
  const double angle = draw.degrees * std::numbers::pi / 180, c = std::cos(angle), s = std::sin(angle);
  const Matrix rotate{{{c, s, 0}, {-s, c, 0}}};
  const double side = 1 / draw.zoom;  // the share of the picture that is shown
  const Matrix zoom{{{side, 0, (1 - side) * (2 * draw.zoom_x - 1)}, {0, side, (1 - side) * (2 * draw.zoom_y - 1)}}};
  Matrix theta = flip * rotate * zoom;
  theta[0][1] *= static_cast<double>(height) / width;
  theta[1][0] *= static_cast<double>(width) / height;
  return theta;
}

/// The denominator of the homography is linear, so if it is positive at the corners it is positive on the whole picture.
void check_horizon(const Matrix& theta, const std::array<double, 8>& h, const PictureDraw& draw) {
  for (const double u : {-1.0, 1.0}) {
    for (const double v : {-1.0, 1.0}) {
      const double x = theta[0][0] * u + theta[0][1] * v + theta[0][2], y = theta[1][0] * u + theta[1][1] * v + theta[1][2];
      if (h[6] * x + h[7] * y + 1 < 1e-3) {
        throw Error(
            fmt::format("augmentation: expected a warp whose horizon stays outside the picture, got ({}, {})", draw.warp_x, draw.warp_y),
            "amounts up to 0.2 in each direction are safe");
      }
    }
  }
}

std::vector<float> rows_of(size_t n) { return std::vector<float>(n * kAugmentParameters); }

}  // namespace

PictureDraw draw_picture(const AugmentSpec& spec, uint64_t seed, uint32_t step, uint32_t item) {
  check(spec);
  const Draws draws{{seed, Purpose::kAugment, step, item}};
  const double darkest = 0.5 * (1 - spec.max_lighting), brightest = 0.5 * (1 + spec.max_lighting);
  const double flattest = std::log(1 - spec.max_lighting);
  return {.flip = draws.chance(0, spec.p_flip),
          .degrees = draws.kept(1, spec.p_affine, -spec.max_rotate, spec.max_rotate, 0),
          .zoom = draws.kept(3, spec.p_affine, spec.min_zoom, spec.max_zoom, 1),
          .zoom_x = draws.unit(5),
          .zoom_y = draws.unit(6),
          .warp_x = draws.kept(7, spec.p_affine, -spec.max_warp, spec.max_warp, 0),
          .warp_y = draws.kept(9, spec.p_affine, -spec.max_warp, spec.max_warp, 0),
          .brightness = draws.kept(11, spec.p_lighting, darkest, brightest, 0.5),
          .contrast = std::exp(draws.kept(13, spec.p_lighting, flattest, -flattest, 0))};
}

Box draw_crop(const AugmentSpec& spec, uint64_t seed, uint32_t step, int height, int width) {
  check(spec);
  check_extents(height, width);
  const Draws draws{{seed, Purpose::kAugment, step, kBatchItem}};
  constexpr uint32_t kAttempts = 10;
  for (uint32_t attempt = 0; attempt < kAttempts; ++attempt) {
    const double area = draws.uniform(3 * attempt, spec.min_scale, 1) * width * height;
    const int side = static_cast<int>(std::nearbyint(std::sqrt(area)));  // halves to even, as in Python
    if (side < 1 || side > std::min(height, width)) continue;
    return {.x = draws.integer(3 * attempt + 2, width - side),
            .y = draws.integer(3 * attempt + 1, height - side),
            .width = side,
            .height = side};
  }
  return full_crop(height, width);
}

Box full_crop(int height, int width) {
  check_extents(height, width);
  const int side = std::min(height, width);
  return {.x = (width - side) / 2, .y = (height - side) / 2, .width = side, .height = side};
}

std::array<double, 8> find_homography(const Points& p1, const Points& p2) {
  std::array<std::array<double, 8>, 8> a{};
  std::array<double, 8> b{};
  for (size_t i = 0; i < 4; ++i) {
    const auto [x, y] = p2[i];
    const auto [u, v] = p1[i];
    a[2 * i] = {x, y, 1, 0, 0, 0, -u * x, -u * y};
    a[2 * i + 1] = {0, 0, 0, x, y, 1, -v * x, -v * y};
    b[2 * i] = u, b[2 * i + 1] = v;
  }
  return solve(a, b);
}

AugmentRow compose(const PictureDraw& draw, const Box& crop, int height, int width) {
  check_extents(height, width);
  if (crop.width < 1 || crop.height < 1 || crop.x < 0 || crop.y < 0 || crop.x + crop.width > width || crop.y + crop.height > height) {
    throw ShapeError(fmt::format("augmentation: expected a crop inside the {} x {} picture, got {} x {} at ({},{})", width, height,
                                 crop.width, crop.height, crop.x, crop.y));
  }
  const Matrix theta = affine(draw, height, width);
  const double x = draw.warp_x, y = draw.warp_y;
  const auto homography =
      find_homography({{{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}}, {{{-1 - y, -1 - x}, {-1 + y, 1 + x}, {1 + y, -1 + x}, {1 - y, 1 - x}}});
  check_horizon(theta, homography, draw);
  AugmentRow row{};
  std::ranges::copy(theta[0], row.begin());
  std::ranges::copy(theta[1], row.begin() + 3);
  std::ranges::copy(homography, row.begin() + 6);
  std::ranges::copy(std::array{crop.x, crop.y, crop.width, crop.height}, row.begin() + 14);
  row[18] = static_cast<float>(logit(draw.brightness));
  row[19] = static_cast<float>(draw.contrast);
  return row;
}

std::vector<float> draw_parameters(const AugmentSpec& spec, uint64_t seed, uint32_t step, std::span<const int64_t> items, int height,
                                   int width) {
  const Box crop = draw_crop(spec, seed, step, height, width);
  std::vector<float> rows = rows_of(items.size());
  auto to = rows.begin();
  for (const int64_t item : items) {
    if (item < 0 || item >= int64_t{kBatchItem}) {
      throw Error(fmt::format("augmentation: expected items from 0 to {}, got {}", kBatchItem - 1, item));
    }
    to = std::ranges::copy(compose(draw_picture(spec, seed, step, static_cast<uint32_t>(item)), crop, height, width), to).out;
  }
  return rows;
}

std::vector<float> draw_parameters(const AugmentSpec& spec, uint64_t seed, uint32_t step, int n, int height, int width) {
  std::vector<int64_t> items(static_cast<size_t>(n));
  std::iota(items.begin(), items.end(), int64_t{0});
  return draw_parameters(spec, seed, step, items, height, width);
}

std::vector<float> validation_parameters(int n, int height, int width) {
  const AugmentRow row = compose({}, full_crop(height, width), height, width);
  std::vector<float> rows = rows_of(static_cast<size_t>(n));
  for (auto to = rows.begin(); to != rows.end(); to += kAugmentParameters) std::ranges::copy(row, to);
  return rows;
}

}  // namespace mirilla::data
