// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "nn/explain/grad_cam.h"

namespace mirilla::nn {

/// How the maps of several layers become one.
enum class Fuse { none, mean, max };

/// (map - min) / (1e-7 + max - min), in [0,1]; with the style `paper` of max(map, 0), so a map without a positive value is 0 everywhere.
/// [pytorch_grad_cam.utils.image.scale_cam_image]
std::vector<float> scaled_map(std::span<const float> map, CamStyle style);

/// Maps of one picture, of any sizes, as one of the picture's size: each scaled to [0,1] and stretched (data::stretch_map), their mean or
/// largest at each pixel, scaled once more. With the mean and the style `paper` it is what pytorch-grad-cam returns for a list of layers.
/// Its layer is "layer3+layer4". Throws UsageError without maps.
CamMap fused_map(std::span<const CamMap> maps, Fuse fuse, CamStyle style, int height, int width);

}  // namespace mirilla::nn
