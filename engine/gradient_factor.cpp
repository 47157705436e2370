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

Tensor as_wide_as(const GradState& state, const Tensor& gradient) {
  return gradient && state.dtype == DType::f32 && is_half(gradient.dtype()) ? gradient.to(DType::f32) : gradient;
}

Tensor plain_gradient(GradState& state) {
  if (!state.grad) return state.grad;
  const DType dtype = state.grad.dtype();
  if (!state.factor && !(is_half(dtype) && state.dtype == DType::f32)) return state.grad;
  if (!state.plain)
    state.plain =
        state.factor ? multiplied(state.grad, state.factor->inverse, is_half(dtype) ? DType::f32 : dtype) : as_wide_as(state, state.grad);
  return state.plain;
}

void accumulate(GradState& state, const Tensor& gradient, const std::shared_ptr<const Factor>& factor) {
  if (state.keep || !state.grad) {
    state.clear();
    state.grad = gradient;
    state.factor = factor;
    return;
  }
  const Tensor added = as_wide_as(state, gradient);
  const bool same = factor && state.factor ? factor->same_as(*state.factor) : !factor && !state.factor;
  Tensor before = same ? as_wide_as(state, state.grad) : plain_gradient(state);
  if (!same) before = factor ? multiplied(before, factor->value, added.dtype()) : before.to(added.dtype());
  state.clear();
  state.grad = empty_like(added);
  state.grad.backend().run(op::Add{before, added, state.grad});
  state.factor = factor;
}

}  // namespace mirilla::tape
