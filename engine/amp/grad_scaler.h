// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>

#include "engine/tape.h"
#include "engine/tensor.h"

namespace mirilla::amp {

struct GradScalerOptions {
  double initial = 65536;
  ScalerSpec spec = {};
};

/// Keeps f16 gradients from vanishing: the loss is multiplied by a scale before backward, the gradients are divided by it in the optimizer,
/// and a step whose gradients overflowed is skipped entirely and the scale halved; after 2000 good steps in a row it doubles. The state
/// lives on the device (kernels/core/backend.h: kScalerState), so that a step never waits for the device. [torch.amp.GradScaler]
///
///   tape::backward(loss, {.factor = scaler.factor()});
///   scaler.step(tensors, spec);      // check_finite, adam, update_scale
class GradScaler {
 public:
  /// Throws Error unless `initial` is a power of two: only then dividing by it is exact.
  explicit GradScaler(Device& device, const GradScalerOptions& options = {});

  /// f32 (4), kernels/core/backend.h: kScalerState.
  const Tensor& state() const { return state_; }
  /// The scale as it is now, for one backward pass (tape::BackwardOptions::factor). Does not wait.
  std::shared_ptr<const tape::Factor> factor() const;
  /// Copies a state in, for a resumed run.
  void set_state(const Tensor& state);

  /// One optimizer step with gradients computed under this scale (amp::gradient_under), or none if one of them is not finite; then the
  /// scale is updated. Does not wait.
  void step(std::span<const AdamTensor> tensors, const AdamSpec& spec);

  /// The same for an optimizer that is not Adam, in two parts: look_at() says in state()[2] whether a gradient is not finite, and where it
  /// says 1 the optimizer writes nothing; update() moves the scale. Neither waits.
  void look_at(std::span<const ConstView> gradients) { state_.backend().run(op::CheckFinite{gradients, state_}); }
  void update() { state_.backend().run(op::UpdateScale{state_, spec_}); }

  /// These read the state back and wait for the device.
  double scale() const { return state_.to_vector<float>()[0]; }
  /// Whether the last step was skipped.
  bool overflowed() const { return state_.to_vector<float>()[2] != 0; }

 private:
  Tensor state_;
  ScalerSpec spec_;
};

/// Throws ShapeError unless it is f32 (4).
void check_scaler_state(const Tensor& state);

/// GradScaler::factor of such a state; null for no tensor. Throws ShapeError as check_scaler_state.
std::shared_ptr<const tape::Factor> factor_of(const Tensor& state);

/// A leaf's gradient times the scale that `state` says now: as GradScaler::step wants it, which divides by it. Without a state, the
/// gradient without a scale. In halves, if it is alone and the device made it so. No tensor if there is none.
Tensor gradient_under(const Tensor& leaf, const Tensor& state);

}  // namespace mirilla::amp
