// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla {

/// out = (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, in both directions.      [torch.nn.functional.conv2d]
struct Conv2dSpec {
  int stride = 1;
  int padding = 0;
  int dilation = 1;
  bool operator==(const Conv2dSpec&) const = default;
};

namespace op {

/// y (N,P,Q,K) = x (N,H,W,C) convolved with w (K,R,S,C), + bias (K), which may be absent and is f32 beside a half x.
struct Conv2d {
  static constexpr std::string_view kName = "conv2d";
  ConstView x, w, bias;
  Conv2dSpec spec;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.w, call.bias, call.y); }
};

/// The gradient of x: dx (N,H,W,C) from dy (N,P,Q,K).
struct Conv2dBackwardData {
  static constexpr std::string_view kName = "conv2d_backward_data";
  ConstView dy, w;
  Conv2dSpec spec;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.w, call.dx); }
};

/// The gradient of w: dw (K,R,S,C), which may be f32 for halves.
struct Conv2dBackwardWeight {
  static constexpr std::string_view kName = "conv2d_backward_weight";
  ConstView x, dy;
  Conv2dSpec spec;
  View dw;
  static auto views(auto& call) { return std::tie(call.x, call.dy, call.dw); }
};

/// y = conv2d(x, w) + bias, then + residual if present, then max(.,0) if relu; for inference, with a batch norm folded into w and bias.
struct Conv2dBiasAddRelu {
  static constexpr std::string_view kName = "conv2d_bias_add_relu";
  ConstView x, w, bias;
  ConstView residual;  // like y, may be absent
  bool relu = false;
  Conv2dSpec spec;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.w, call.bias, call.residual, call.y); }
};

}  // namespace op

}  // namespace mirilla
