// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla {

/// out = (in + 2 padding - window) / stride + 1; padding never wins (it counts as minus infinity).   [torch.nn.functional.max_pool2d]
struct Pool2dSpec {
  int window = 2;
  int stride = 2;
  int padding = 0;
  bool operator==(const Pool2dSpec&) const = default;
};

namespace op {

/// The largest value of each window of x (N,H,W,C). index (u8, like y, or absent): the winner's place in its window, row * window + column;
/// of equal values the first wins; a NaN wins over numbers, and of several NaN the last wins.
struct MaxPool2d {
  static constexpr std::string_view kName = "max_pool2d";
  ConstView x;
  Pool2dSpec spec;
  View y, index;
  static auto views(auto& call) { return std::tie(call.x, call.y, call.index); }
};

/// dx (N,H,W,C): each element of dy, added where its window's winner was.
struct MaxPool2dBackward {
  static constexpr std::string_view kName = "max_pool2d_backward";
  ConstView dy, index;
  Pool2dSpec spec;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.index, call.dx); }
};

}  // namespace op

}  // namespace mirilla
