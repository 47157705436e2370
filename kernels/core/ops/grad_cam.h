// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// weights (N,C) = mean of gradient over (h,w);  map (N,h,w) = sum_c weights_c activation_c. Both are f32 for halves.
///                                                                                                       [Grad-CAM, Selvaraju 2017]
struct GradCam {
  static constexpr std::string_view kName = "grad_cam";
  ConstView activation, gradient;
  View weights, map;
  static auto views(auto& call) { return std::tie(call.activation, call.gradient, call.weights, call.map); }
};

}  // namespace mirilla::op
