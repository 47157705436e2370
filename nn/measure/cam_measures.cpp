// SPDX-License-Identifier: MIT
#include "nn/measure/cam_measures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

constexpr size_t kChannels = 3;

// Of the largest cells of the map, the one with the smallest draw.
size_t pointed_at(const CamMap& map, RandomKey ties) {
  const float largest = *std::max_element(map.values.begin(), map.values.end());
  size_t best = map.values.size();
  for (size_t i = 0; i < map.values.size(); ++i)
    if (map.values[i] == largest &&
        (best == map.values.size() || ties.bits(static_cast<uint32_t>(i)) < ties.bits(static_cast<uint32_t>(best))))
      best = i;
  return best;
}

}  // namespace

int pointing_tolerance(int height, int width) { return static_cast<int>(std::lround(15.0 * std::min(height, width) / 224)); }

bool inside(const data::Picture& mask, int x, int y) { return mask.at(x, y)[0] >= 128; }

bool points_inside(const MeasuredMap& map, const data::Picture& mask, int tolerance, RandomKey ties) {
  if (map.empty) return false;
  const CamMap& cells = map.cells;
  const int largest = static_cast<int>(pointed_at(cells, ties));
  const int cx = (2 * (largest % cells.width) + 1) * mask.width / (2 * cells.width);
  const int cy = (2 * (largest / cells.width) + 1) * mask.height / (2 * cells.height);
  for (int y = std::max(0, cy - tolerance); y <= std::min(mask.height - 1, cy + tolerance); ++y)
    for (int x = std::max(0, cx - tolerance); x <= std::min(mask.width - 1, cx + tolerance); ++x)
      if ((x - cx) * (x - cx) + (y - cy) * (y - cy) <= tolerance * tolerance && inside(mask, x, y)) return true;
  return false;
}

double energy_inside(const MeasuredMap& map, const data::Picture& mask) {
  if (mask.width != map.width || mask.height != map.height)
    throw ShapeError(
        fmt::format("a map of {}x{} pixels needs a mask of that size, got {}x{}", map.width, map.height, mask.width, mask.height));
  double within = 0, total = 0;
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) {
      const double value = map.values[static_cast<size_t>(y * map.width + x)];
      total += value;
      if (inside(mask, x, y)) within += value;
    }
  return total > 0 ? within / total : 0;
}

double share_inside(const data::Picture& mask) {
  int64_t count = 0;
  for (int y = 0; y < mask.height; ++y)
    for (int x = 0; x < mask.width; ++x) count += inside(mask, x, y);
  return static_cast<double>(count) / (static_cast<double>(mask.width) * mask.height);
}

namespace {

// One pass of the blur along `extent` elements that lie `stride` apart.
void blur_line(const double* in, double* out, int extent, size_t stride) {
  constexpr int kReach = 15;
  constexpr double kSigma = 5;
  for (int i = 0; i < extent; ++i) {
    double sum = 0, weights = 0;
    for (int j = std::max(0, i - kReach); j <= std::min(extent - 1, i + kReach); ++j) {
      const double weight = std::exp(-(i - j) * (i - j) / (2 * kSigma * kSigma));
      sum += weight * in[static_cast<size_t>(j) * stride];
      weights += weight;
    }
    out[static_cast<size_t>(i) * stride] = sum / weights;
  }
}

}  // namespace

std::vector<double> blurred(const Subject& subject) {
  const auto width = static_cast<size_t>(subject.width), height = static_cast<size_t>(subject.height);
  std::vector<double> along(subject.pixels.size()), out(subject.pixels.size());
  for (size_t y = 0; y < height; ++y)
    for (size_t c = 0; c < kChannels; ++c) {
      const size_t at = y * width * kChannels + c;
      blur_line(subject.pixels.data() + at, along.data() + at, subject.width, kChannels);
    }
  for (size_t at = 0; at < width * kChannels; ++at) blur_line(along.data() + at, out.data() + at, subject.height, width * kChannels);
  return out;
}

std::vector<double> replacing_curve(std::span<const double> from, std::span<const double> to, std::span<const uint32_t> strongest_first,
                                    int64_t steps, const Confidence& confidence) {
  const auto n = static_cast<int64_t>(strongest_first.size());
  std::vector<double> picture(from.begin(), from.end()), pictures;
  pictures.reserve(picture.size() * static_cast<size_t>(steps + 1));
  int64_t replaced = 0;
  for (int64_t k = 0; k <= steps; ++k) {
    for (const int64_t until = k * n / steps; replaced < until; ++replaced) {
      const size_t at = strongest_first[static_cast<size_t>(replaced)] * kChannels;
      std::copy_n(to.data() + at, kChannels, picture.data() + at);
    }
    pictures.insert(pictures.end(), picture.begin(), picture.end());
  }
  return confidence(pictures, steps + 1);
}

double area_under(std::span<const double> curve) {
  const double sum = std::accumulate(curve.begin(), curve.end(), 0.0);
  return (sum - (curve.front() + curve.back()) / 2) / static_cast<double>(curve.size() - 1);
}

std::vector<double> seen_through(const Subject& subject, const MeasuredMap& map) {
  std::vector<double> seen(subject.pixels.begin(), subject.pixels.end());
  for (size_t k = 0; k < seen.size(); ++k) seen[k] *= map.values[k / kChannels];
  return seen;
}

double confidence_drop(double whole, double seen) { return whole > 0 ? std::max(0.0, whole - seen) / whole : 0; }

double relative_change(const MeasuredMap& a, const MeasuredMap& b) {
  if (a.empty || b.empty) return a.empty && b.empty ? 0 : 1;
  double change = 0, size = 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    change += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
    size += a.values[i] * a.values[i];
  }
  return std::sqrt(change / size);
}

namespace {

std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t k = begin; k < end; ++k) ranks[order[k]] = static_cast<double>(begin + end - 1) / 2;
  }
  return ranks;
}

// Two maps' sums over a window, in this order: a, b, a a, b b, a b.
using Sums = std::array<double, 5>;

double similarity_of(const Sums& sums, double n) {
  constexpr double kC1 = 0.01 * 0.01, kC2 = 0.03 * 0.03;
  const double ma = sums[0] / n, mb = sums[1] / n, sample = n / (n - 1);
  const double va = sample * (sums[2] / n - ma * ma), vb = sample * (sums[3] / n - mb * mb), cov = sample * (sums[4] / n - ma * mb);
  return (2 * ma * mb + kC1) * (2 * cov + kC2) / ((ma * ma + mb * mb + kC1) * (va + vb + kC2));
}

}  // namespace

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> ra = ranks_of(a), rb = ranks_of(b);
  const double mean = static_cast<double>(a.size() - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < ra.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
    bb += (rb[i] - mean) * (rb[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

double structural_similarity(const MeasuredMap& a, const MeasuredMap& b) {
  constexpr int kWindow = 7;
  if (a.width != b.width || a.height != b.height || a.width < kWindow || a.height < kWindow)
    throw ShapeError(fmt::format("the similarity of maps needs two of the same size, at least {}x{}, got {}x{} and {}x{}", kWindow, kWindow,
                                 a.width, a.height, b.width, b.height));
  double total = 0;
  for (int top = 0; top + kWindow <= a.height; ++top)
    for (int left = 0; left + kWindow <= a.width; ++left) {
      Sums sums{};
      for (int y = top; y < top + kWindow; ++y)
        for (int x = left; x < left + kWindow; ++x) {
          const auto i = static_cast<size_t>(y * a.width + x);
          const double va = a.values[i], vb = b.values[i];
          sums[0] += va, sums[1] += vb, sums[2] += va * va, sums[3] += vb * vb, sums[4] += va * vb;
        }
      total += similarity_of(sums, kWindow * kWindow);
    }
  return total / ((a.height - kWindow + 1.0) * (a.width - kWindow + 1.0));
}

}  // namespace mirilla::nn
