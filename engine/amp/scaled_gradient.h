// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "engine/tensor.h"

/// Gradients of a loss that was multiplied by a GradScaler's scale. The tape keeps them as they came, with the scale they came under; who
/// asks Tensor::grad() gets them divided by it.
namespace mirilla::amp {

/// The scale of one backward pass: copies of the first two elements of a scaler's state, on its device, and which state it was.
struct GradScale {
  Tensor factor, inverse;  // (1) f32
  uint64_t storage_id = 0, version = 0;

  bool same_as(const GradScale& other) const { return storage_id == other.storage_id && version == other.version; }
};

/// What `state` says now. Does not wait.
std::shared_ptr<const GradScale> grad_scale_of(const Tensor& state);

/// gradient / scale; a half gradient comes back in f32, since a half might not hold it. Exact in f32: scales are powers of two.
Tensor unscaled(const Tensor& gradient, const GradScale& scale);

/// Adds `gradient`, which came under `scale` (none: not scaled), to a leaf's gradient that may have come under another.
void accumulate(tape::GradState& state, const Tensor& gradient, const std::shared_ptr<const GradScale>& scale);

/// A leaf's gradient under the scale that `state` says now: as the optimizer wants it that divides by it. No tensor if there is none.
Tensor gradient_under(const Tensor& leaf, const Tensor& state);

}  // namespace mirilla::amp
