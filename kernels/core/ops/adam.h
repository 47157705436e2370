// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/operation.h"

namespace mirilla {

/// One tensor of an optimizer step. Parameter and moments are f32 (f64 on the reference).
struct AdamTensor {
  View parameter;
  ConstView gradient;  // like parameter, or f16 | bf16, which is widened
  View m, v;           // first and second moments, like parameter
  double learning_rate = 0;
  double weight_decay = 0;
  View step;            // (1) i64: t, the steps this tensor has taken; the call adds 1 first
  View copy;            // f16 | bf16, like parameter otherwise: receives the parameter, rounded; may be absent
  ConstView rate = {};  // (1) f64, may be absent: replaces learning_rate; read when the device runs the call
};

/// Adam with decoupled weight decay, as fastai does it:                                               [fastai.optimizer.Adam]
///
///   p *= 1 - learning_rate weight_decay
///   m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
///   p -= learning_rate / (1 - beta1^t)  m / (sqrt(v / (1 - beta2^t)) + eps)
struct AdamSpec {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-5;
  ConstView momentum = {};  // (1) f64, may be absent: replaces beta1; read when the device runs the call
};

/// Values that change from step to step can therefore be given by value or by address (a view). With addresses a recorded step can be run
/// again with new values. Both forms give the same bits.

/// The gradient scaler's state, which lives on the device: f32 (4), of which
///
///   [0] scale      the loss was multiplied by it before backward; a power of two, so that undoing it is exact
///   [1] 1 / scale
///   [2] overflow   1 where a gradient of this step contains an infinity or a NaN, else 0
///   [3] streak     steps since the scale last changed, or since the last overflow
inline constexpr int kScalerState = 4;

/// How the scale moves after a step: an overflow multiplies it by `backoff` and sets the streak to 0; `interval` good steps in a row
/// multiply it by `growth`. Never beyond the largest power of two in f32, never below the smallest normal one.
/// [torch.amp.GradScaler.update]
struct ScalerSpec {
  double growth = 2;
  double backoff = 0.5;
  int64_t interval = 2000;
};

/// One update of the state, in plain arithmetic. Every device's update_scale computes this.
constexpr void step_scaler(float* state, const ScalerSpec& spec) {
  constexpr float kLargest = 0x1p127f, kSmallest = 0x1p-126f;
  float scale = state[0];
  if (state[2] != 0) {
    scale *= static_cast<float>(spec.backoff);
    state[3] = 0;
  } else if (state[3] + 1 >= static_cast<float>(spec.interval)) {
    scale *= static_cast<float>(spec.growth);
    state[3] = 0;
  } else {
    state[3] += 1;
  }
  state[0] = scale > kLargest ? kLargest : scale < kSmallest ? kSmallest : scale;
  state[1] = 1 / state[0];
}

namespace op {

/// Sets state[2] to 1 where an element of a gradient is not finite, and else to 0.
struct CheckFinite {
  static constexpr std::string_view kName = "check_finite";
  std::span<const ConstView> gradients;
  View state;
  static auto views(auto& call) { return std::tie(call.gradients, call.state); }
};

/// One step of all tensors; a tensor's `step` is counted up first and is then t. With a scaler's state, gradients are multiplied by
/// state[1], and where state[2] is 1 nothing is written: no decay, no moments, no step count. g^2 beyond f32 makes v infinite, and the
/// parameter then only decays.
struct Adam {
  static constexpr std::string_view kName = "adam";
  static constexpr bool kTakesHalves = true;  // a tensor's gradient and copy; all else is f32
  std::span<const AdamTensor> tensors;        // their views are not listed: they are updated in place
  AdamSpec spec;
  ConstView scaler_state;
  static auto views(auto& call) { return std::tie(call.spec.momentum, call.scaler_state); }
};

/// Moves the scale by the rule above and leaves state[2] as it is, so that the caller can report it.
struct UpdateScale {
  static constexpr std::string_view kName = "update_scale";
  View state;
  ScalerSpec spec;
  static auto views(auto& call) { return std::tie(call.state); }
};

}  // namespace op

}  // namespace mirilla
