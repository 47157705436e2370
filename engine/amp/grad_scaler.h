// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "engine/tape.h"
#include "engine/tensor.h"

namespace mirilla::amp {

struct GradScalerOptions {
  double initial = 65536;
  ScalerSpec spec = {};
};

/// Keeps f16 gradients from vanishing: the loss is multiplied by a scale before backward, the gradients are divided by it in the optimizer,
/// and a step whose gradients overflowed is left out whole, the scale halved; after 2000 good steps in a row it doubles. The state lives on
/// the device (kernels/core/backend.h: kScalerState), so that a step never waits to ask. [torch.amp.GradScaler]
///
///   tape::backward(loss, {.scale = scaler.state()});
///   scaler.step(tensors, spec);      // check_finite, adam, update_scale
class GradScaler {
 public:
  /// Throws Error unless `initial` is a power of two: only then undoing it is exact.
  explicit GradScaler(Device& device, const GradScalerOptions& options = {});

  /// f32 (4): what BackwardOptions::scale takes.
  const Tensor& state() const { return state_; }
  /// Copies a state in, for a run that goes on.
  void set_state(const Tensor& state);

  /// One optimizer step of gradients that came under this scale (amp::gradient_under), or none where one of them is not finite; then the
  /// scale moves. Does not wait.
  void step(std::span<const AdamTensor> tensors, const AdamSpec& spec);

  /// These read the state back and wait for the device.
  double scale() const { return state_.to_vector<float>()[0]; }
  /// Whether the last step was left out.
  bool overflowed() const { return state_.to_vector<float>()[2] != 0; }

 private:
  Tensor state_;
  ScalerSpec spec_;
};

/// Throws ShapeError unless it is f32 (4).
void check_scaler_state(const Tensor& state);

}  // namespace mirilla::amp
