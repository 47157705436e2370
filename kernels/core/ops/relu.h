// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// y = max(x, 0); a NaN stays NaN, -0 stays -0.                                                      [torch.nn.functional.relu]
struct Relu {
  static constexpr std::string_view kName = "relu";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

/// dx = 0 where y <= 0, else dy; so dy passes where y is NaN.
struct ReluBackward {
  static constexpr std::string_view kName = "relu_backward";
  ConstView dy, y;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.y, call.dx); }
};

}  // namespace mirilla::op
