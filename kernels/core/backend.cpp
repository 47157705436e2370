// SPDX-License-Identifier: MIT
#include "kernels/core/backend.h"

namespace mirilla {

std::string_view name_of(Fused operation) {
  switch (operation) {
    case Fused::batch_norm_add_relu: return "batch_norm_add_relu";
    case Fused::conv2d_bias_add_relu: return "conv2d_bias_add_relu";
    case Fused::adaptive_concat_pool2d: return "adaptive_concat_pool2d";
    case Fused::relu_mask: return "relu_mask";
  }
  return "?";
}

void Backend::missing(std::string_view operation) const {
  throw DeviceError(fmt::format("the device '{}' has no {}", name(), operation),
                    "ask has() first, or call the operator in engine/ops, which composes it from the core");
}

void Backend::transpose(ConstView, View) { missing("transpose"); }
void Backend::conv2d_bias_add_relu(const Conv2dBiasAddRelu&) { missing("conv2d_bias_add_relu"); }
void Backend::adaptive_concat_pool2d(ConstView, View, View) { missing("adaptive_concat_pool2d"); }
void Backend::adaptive_concat_pool2d_backward(ConstView, ConstView, View) { missing("adaptive_concat_pool2d_backward"); }

}  // namespace mirilla
