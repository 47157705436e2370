// SPDX-License-Identifier: MIT
#include "engine/amp/scaled_gradient.h"

#include "engine/amp/grad_scaler.h"
#include "engine/tape.h"

namespace mirilla::amp {

namespace {

// x times one f32 number, computed in f32 (f64 for f64), as `dtype`.
Tensor times(const Tensor& x, const Tensor& factor, DType dtype) {
  const DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor y = empty(x.shape(), dtype, x.device());
  x.backend().multiply(x.to(wide), factor.to(wide), y);
  return y;
}

DType wide_form(DType dtype) { return is_half(dtype) ? DType::f32 : dtype; }

Tensor sum_of(const Tensor& a, const Tensor& b) {
  Tensor total = empty_like(b);
  total.backend().add(a, b, total);
  return total;
}

}  // namespace

std::shared_ptr<const GradScale> grad_scale_of(const Tensor& state) {
  check_scaler_state(state);
  return std::make_shared<const GradScale>(GradScale{.factor = state.slice(0, 1).clone(),
                                                     .inverse = state.slice(1, 2).clone(),
                                                     .storage_id = state.storage()->id(),
                                                     .version = state.version()});
}

Tensor unscaled(const Tensor& gradient, const GradScale& scale) { return times(gradient, scale.inverse, wide_form(gradient.dtype())); }

void accumulate(tape::GradState& state, const Tensor& gradient, const std::shared_ptr<const GradScale>& scale) {
  state.unscaled = Tensor();
  if (state.keep || !state.grad) {
    state.grad = gradient;
    state.scale = scale;
    return;
  }
  const bool same = scale && state.scale ? scale->same_as(*state.scale) : !scale && !state.scale;
  Tensor before = state.grad;
  if (!same) {
    if (state.scale) before = unscaled(before, *state.scale);
    before = scale ? times(before, scale->factor, gradient.dtype()) : before.to(gradient.dtype());
  }
  state.grad = sum_of(before, gradient);
  state.scale = scale;
}

Tensor gradient_under(const Tensor& leaf, const Tensor& state) {
  if (!leaf.grad_state()) return {};
  const tape::GradState& known = leaf.grad_state()->holder();
  if (!known.grad) return {};
  const bool is_under = known.scale && known.scale->storage_id == state.storage()->id() && known.scale->version == state.version();
  if (is_under) return known.grad;
  return times(leaf.grad(), state.slice(0, 1), leaf.dtype());
}

}  // namespace mirilla::amp
