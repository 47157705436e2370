// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/products.h"

namespace mirilla {

void CpuBackend::conv2d(ConstView x, ConstView w, ConstView bias, const Conv2dSpec& spec, View y) {
  cpu::want_f32("conv2d", {x, w, bias, y});
  products_->conv2d({.x = x, .w = w, .bias = bias, .residual = {}, .relu = false, .spec = spec, .y = y});
}

void CpuBackend::conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) {
  cpu::want_f32("conv2d_backward_data", {dy, w, dx});
  products_->conv2d_backward_data(dy, w, spec, dx);
}

void CpuBackend::conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) {
  cpu::want_f32("conv2d_backward_weight", {x, dy, dw});
  products_->conv2d_backward_weight(x, dy, spec, dw);
}

void CpuBackend::conv2d_bias_add_relu(const Conv2dBiasAddRelu& call) {
  cpu::want_f32("conv2d_bias_add_relu", {call.x, call.w, call.bias, call.residual, call.y});
  products_->conv2d(call);
}

}  // namespace mirilla
