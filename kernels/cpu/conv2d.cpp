// SPDX-License-Identifier: MIT
// Convolutions: checks, and then the products that the build has (kernels/cpu/products.h).
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/products.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::Conv2d& call) {
  cpu::want_f32("conv2d", {call.x, call.w, call.bias, call.y});
  products_->conv2d({.x = call.x, .w = call.w, .bias = call.bias, .residual = {}, .relu = false, .spec = call.spec, .y = call.y});
}

template <>
void CpuBackend::execute(const op::Conv2dBackwardData& call) {
  cpu::want_f32("conv2d_backward_data", {call.dy, call.w, call.dx});
  products_->conv2d_backward_data(call.dy, call.w, call.spec, call.dx);
}

template <>
void CpuBackend::execute(const op::Conv2dBackwardWeight& call) {
  cpu::want_f32("conv2d_backward_weight", {call.x, call.dy, call.dw});
  products_->conv2d_backward_weight(call.x, call.dy, call.spec, call.dw);
}

template <>
void CpuBackend::execute(const op::Conv2dBiasAddRelu& call) {
  cpu::want_f32("conv2d_bias_add_relu", {call.x, call.w, call.bias, call.residual, call.y});
  products_->conv2d(call);
}

}  // namespace mirilla
