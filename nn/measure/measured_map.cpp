// SPDX-License-Identifier: MIT
#include "nn/measure/measured_map.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/draw/figure.h"

namespace mirilla::nn {

namespace {

void rectify(std::vector<float>& values) {
  for (float& value : values) value = std::isfinite(value) && value > 0 ? value : 0.0f;
}

// (picture_height, picture_width), the largest value 1 unless there is none.
std::vector<double> stretched(const CamMap& map, int picture_height, int picture_width) {
  const std::vector<float> pixels = data::stretch_map(map.values, map.height, map.width, picture_height, picture_width);
  std::vector<double> values(pixels.begin(), pixels.end());
  const double largest = *std::max_element(values.begin(), values.end());
  if (largest > 0)
    for (double& value : values) value /= largest;
  return values;
}

// Sum over the channels of |value|.
CamMap sizes_of(const Attribution& pixels) {
  CamMap map{.height = pixels.height, .width = pixels.width};
  map.values.assign(pixels.values.size() / static_cast<size_t>(pixels.channels), 0.0f);
  for (size_t k = 0; k < pixels.values.size(); ++k) map.values[k / static_cast<size_t>(pixels.channels)] += std::abs(pixels.values[k]);
  return map;
}

}  // namespace

MeasuredMap measured_map(const CamMap& map, int height, int width) {
  MeasuredMap measured{.height = height, .width = width, .values = {}, .strength = {}, .cells = map};
  rectify(measured.cells.values);
  measured.empty = *std::max_element(measured.cells.values.begin(), measured.cells.values.end()) <= 0;
  measured.values = stretched(measured.cells, height, width);
  measured.strength = measured.values;
  return measured;
}

MeasuredMap measured_map(const Explanation& explanation, int height, int width) {
  MeasuredMap measured = measured_map(saliency(explanation), height, width);
  if (explanation.pixels) {
    measured.cells = sizes_of(*explanation.pixels);
    rectify(measured.cells.values);
    measured.strength = stretched(measured.cells, height, width);
  }
  return measured;
}

std::vector<uint32_t> strongest_first(const MeasuredMap& map, RandomKey ties) {
  std::vector<uint32_t> draws;
  for (uint32_t i = 0; i < map.strength.size(); ++i) draws.push_back(ties.bits(i));
  std::vector<uint32_t> order(map.strength.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (map.strength[a] != map.strength[b]) return map.strength[a] > map.strength[b];
    return draws[a] != draws[b] ? draws[a] < draws[b] : a < b;
  });
  return order;
}

CamMap centre_map(int height, int width) {
  const double sigma = std::min(height, width) / 4.0;
  CamMap map{.layer = "centre", .height = height, .width = width};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double dy = y + 0.5 - height / 2.0, dx = x + 0.5 - width / 2.0;
      map.values.push_back(static_cast<float>(std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))));
    }
  return map;
}

CamMap random_map(int height, int width, RandomKey key) {
  CamMap map{.layer = "random", .height = height, .width = width};
  for (uint32_t i = 0; i < static_cast<uint32_t>(height * width); ++i) map.values.push_back(to_unit(key.bits(i)));
  return map;
}

}  // namespace mirilla::nn
