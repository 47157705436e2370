// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// y (N,h,w,C): cell (i,j) covers rows floor(i H/h) .. ceil((i+1) H/h) of x (N,H,W,C), columns likewise.   [torch.nn.AdaptiveAvgPool2d]
struct AdaptiveAvgPool2d {
  static constexpr std::string_view kName = "adaptive_avg_pool2d";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

struct AdaptiveAvgPool2dBackward {
  static constexpr std::string_view kName = "adaptive_avg_pool2d_backward";
  ConstView dy;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.dx); }
};

/// The largest value of each cell. index (i64, like y): the winner's row * W + column in x; equal values and NaN as in MaxPool2d.
///                                                                                                  [torch.nn.AdaptiveMaxPool2d]
struct AdaptiveMaxPool2d {
  static constexpr std::string_view kName = "adaptive_max_pool2d";
  ConstView x;
  View y, index;
  static auto views(auto& call) { return std::tie(call.x, call.y, call.index); }
};

struct AdaptiveMaxPool2dBackward {
  static constexpr std::string_view kName = "adaptive_max_pool2d_backward";
  ConstView dy, index;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.index, call.dx); }
};

/// y (N,h,w,2C) = [max, average] as fastai concatenates them; index as in AdaptiveMaxPool2d.        [fastai.layers.AdaptiveConcatPool2d]
struct AdaptiveConcatPool2d {
  static constexpr std::string_view kName = "adaptive_concat_pool2d";
  ConstView x;
  View y, index;
  static auto views(auto& call) { return std::tie(call.x, call.y, call.index); }
};

struct AdaptiveConcatPool2dBackward {
  static constexpr std::string_view kName = "adaptive_concat_pool2d_backward";
  ConstView dy, index;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.index, call.dx); }
};

}  // namespace mirilla::op
