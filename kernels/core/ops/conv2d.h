// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"
#include "kernels/core/padded_pictures.h"

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
///
/// Padded pictures: x (N,H,W,4) with zeros in the fourth channel, beside w (K,R,S,3). The result has the same bits as without that channel
/// where our own kernels compute it. `padded_w`, which may be absent, is w with a fourth channel of zeros, for a library that wants one.
struct Conv2d {
  static constexpr std::string_view kName = "conv2d";
  using Forms = Operations<PaddedPictures>;
  ConstView x, w, bias;
  Conv2dSpec spec;
  View y;
  ConstView padded_w = {};  // (K,R,S,4)
  static auto views(auto& call) { return std::tie(call.x, call.w, call.bias, call.y, call.padded_w); }
};

/// The gradient of x: dx (N,H,W,C) from dy (N,P,Q,K).
struct Conv2dBackwardData {
  static constexpr std::string_view kName = "conv2d_backward_data";
  ConstView dy, w;
  Conv2dSpec spec;
  View dx;
  static auto views(auto& call) { return std::tie(call.dy, call.w, call.dx); }
};

/// The gradient of w: dw (K,R,S,C), which may be f32 for halves. Of padded pictures x (N,H,W,4) it is (K,R,S,3).
struct Conv2dBackwardWeight {
  static constexpr std::string_view kName = "conv2d_backward_weight";
  using Forms = Operations<PaddedPictures>;
  ConstView x, dy;
  Conv2dSpec spec;
  View dw;
  static auto views(auto& call) { return std::tie(call.x, call.dy, call.dw); }
};

/// y = conv2d(x, w) + bias, then + residual if present, then max(.,0) if relu; for inference, with a batch norm folded into w and bias.
/// Padded pictures and padded_w as in Conv2d.
struct Conv2dBiasAddRelu {
  static constexpr std::string_view kName = "conv2d_bias_add_relu";
  using Forms = Operations<PaddedPictures>;
  ConstView x, w, bias;  // beside a half x, bias is f32 or like x
  ConstView residual;    // like y, may be absent
  bool relu = false;
  Conv2dSpec spec;
  View y;
  ConstView padded_w = {};  // (K,R,S,4)
  static auto views(auto& call) { return std::tie(call.x, call.w, call.bias, call.residual, call.y, call.padded_w); }
};

inline bool PaddedPictures::asked(const Conv2d& call) { return call.x.shape[3] != call.w.shape[3]; }
inline bool PaddedPictures::asked(const Conv2dBiasAddRelu& call) { return call.x.shape[3] != call.w.shape[3]; }
inline bool PaddedPictures::asked(const Conv2dBackwardWeight& call) { return call.x.shape[3] != call.dw.shape[3]; }

}  // namespace op

}  // namespace mirilla
