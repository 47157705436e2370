// SPDX-License-Identifier: MIT
#include "engine/amp/grad_scaler.h"

#include <cmath>
#include <vector>

namespace mirilla::amp {

void check_scaler_state(const Tensor& state) {
  if (!state || state.dtype() != DType::f32 || state.shape() != Shape{kScalerState})
    throw ShapeError(fmt::format("a gradient scaler's state is f32 ({}) and {} came", kScalerState, describe(state)),
                     "GradScaler::state() gives it");
}

GradScaler::GradScaler(Device& device, const GradScalerOptions& options) : spec_(options.spec) {
  int exponent = 0;
  if (!(options.initial > 0) || std::frexp(options.initial, &exponent) != 0.5 || exponent < -125 || exponent > 128)
    throw Error(fmt::format("a gradient scaler starts at a power of two that f32 holds, and {} came", options.initial), "65536 is usual");
  const auto scale = static_cast<float>(options.initial);
  state_ = from_host(std::vector<float>{scale, 1 / scale, 0, 0}, {kScalerState}, device);
}

void GradScaler::set_state(const Tensor& state) {
  check_scaler_state(state);
  state_.copy_from(state);
}

void GradScaler::step(std::span<const AdamTensor> tensors, const AdamSpec& spec) {
  std::vector<ConstView> gradients;
  gradients.reserve(tensors.size());
  for (const AdamTensor& tensor : tensors) gradients.push_back(tensor.gradient);
  Backend& backend = state_.backend();
  backend.check_finite(gradients, state_);
  backend.adam(tensors, spec, state_);
  backend.update_scale(state_, spec_);
}

}  // namespace mirilla::amp
