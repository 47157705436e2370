// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include "engine/tensor.h"

/// Gradients that are a multiple of the true ones, because their backward pass began with a multiple of d(objective)/d(root): loss scaling
/// (engine/amp/grad_scaler.h) is such a pass. The tape keeps them as they came, with the factor; Tensor::grad() gives them divided by it.
namespace mirilla::tape {

/// What one backward pass multiplied its gradients by.
struct Factor {
  Tensor value, inverse;                 // (1) f32, on the device
  uint64_t storage_id = 0, version = 0;  // of the tensor that it was read from: passes with the same ones have the same factor

  bool is(const Tensor& source) const { return storage_id == source.storage()->id() && version == source.version(); }
  bool same_as(const Factor& other) const { return storage_id == other.storage_id && version == other.version; }
};

/// x times the one f32 number `factor`, computed in f32 (f64 for f64), as `dtype`. Off the tape.
Tensor multiplied(const Tensor& x, const Tensor& factor, DType dtype);

/// The gradient as it is; in f32, if it is in halves and the state's tensor is f32.
Tensor as_wide_as(const GradState& state, const Tensor& gradient);

/// The gradient that `state` holds without its factor: the only place that divides by it, but for the optimizer's kernel. A half gradient
/// comes in f32, since a half might not hold it. Exact in f32 where the factor is a power of two. No tensor if there is no gradient.
Tensor plain_gradient(GradState& state);

/// Adds `gradient`, which came under `factor` (null: none), to a leaf's gradient that may have come under another; a kept tensor's gradient
/// is replaced. A sum is as wide as the tensor; the first gradient stays as it came.
void accumulate(GradState& state, const Tensor& gradient, const std::shared_ptr<const Factor>& factor);

}  // namespace mirilla::tape
