// SPDX-License-Identifier: MIT
#include "engine/gradient_factor.h"

#include "engine/tape.h"

namespace mirilla::tape {

Tensor multiplied(const Tensor& x, const Tensor& factor, DType dtype) {
  const DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor y = empty(x.shape(), dtype, x.device());
  x.backend().run(op::Multiply{x.to(wide), factor.to(wide), y});
  return y;
}

Tensor plain_gradient(GradState& state) {
  if (!state.grad || !state.factor) return state.grad;
  const DType dtype = state.grad.dtype();
  if (!state.plain) state.plain = multiplied(state.grad, state.factor->inverse, is_half(dtype) ? DType::f32 : dtype);
  return state.plain;
}

void accumulate(GradState& state, const Tensor& gradient, const std::shared_ptr<const Factor>& factor) {
  if (state.keep || !state.grad) {
    state.clear();
    state.grad = gradient;
    state.factor = factor;
    return;
  }
  const bool same = factor && state.factor ? factor->same_as(*state.factor) : !factor && !state.factor;
  Tensor before = same ? state.grad : plain_gradient(state);
  if (!same) before = factor ? multiplied(before, factor->value, gradient.dtype()) : before.to(gradient.dtype());
  state.clear();
  state.grad = empty_like(gradient);
  state.grad.backend().run(op::Add{before, gradient, state.grad});
  state.factor = factor;
}

}  // namespace mirilla::tape
