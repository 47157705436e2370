// SPDX-License-Identifier: MIT
#include "nn/explain/cam_image.h"

#include <algorithm>

#include "data/draw/figure.h"

namespace mirilla::nn {

std::vector<float> scaled_map(std::span<const float> map, CamStyle style) {
  constexpr double kEps = 1e-7;
  std::vector<float> scaled(map.begin(), map.end());
  if (style == CamStyle::paper)
    for (float& value : scaled) value = std::max(value, 0.0f);
  const auto [least, most] = std::minmax_element(scaled.begin(), scaled.end());
  const double low = *least, range = kEps + *most - *least;
  for (float& value : scaled) value = static_cast<float>((value - low) / range);
  return scaled;
}

CamMap fused_map(std::span<const CamMap> maps, Fuse fuse, CamStyle style, int height, int width) {
  if (maps.empty()) throw UsageError("combining the maps of several layers needs at least one, got none");
  CamMap fused{.layer = {}, .height = height, .width = width, .values = {}};
  for (const CamMap& map : maps) {
    const std::vector<float> scaled = scaled_map(map.values, style);
    const std::vector<float> stretched = data::stretch_map(scaled, map.height, map.width, height, width);
    fused.layer += (fused.layer.empty() ? "" : "+") + map.layer;
    if (fused.values.empty()) {
      fused.values = stretched;
      continue;
    }
    for (size_t i = 0; i < stretched.size(); ++i)
      fused.values[i] = fuse == Fuse::max ? std::max(fused.values[i], stretched[i]) : fused.values[i] + stretched[i];
  }
  if (fuse != Fuse::max)
    for (float& value : fused.values) value /= static_cast<float>(maps.size());
  fused.values = scaled_map(fused.values, style);
  return fused;
}

}  // namespace mirilla::nn
