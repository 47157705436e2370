// SPDX-License-Identifier: MIT
#include "engine/amp/grad_scaler.h"

#include <cmath>
#include <vector>

namespace mirilla::amp {

void check_scaler_state(const Tensor& state) {
  if (!state || state.dtype() != DType::f32 || state.shape() != Shape{kScalerState})
    throw ShapeError(fmt::format("a gradient scaler's state: expected f32 ({}), got {}", kScalerState, describe(state)),
                     "use GradScaler::state()");
}

std::shared_ptr<const tape::Factor> factor_of(const Tensor& state) {
  if (!state) return nullptr;
  check_scaler_state(state);
  return std::make_shared<const tape::Factor>(tape::Factor{.value = state.slice(0, 1).clone(),
                                                           .inverse = state.slice(1, 2).clone(),
                                                           .storage_id = state.storage()->id(),
                                                           .version = state.version()});
}

Tensor gradient_under(const Tensor& leaf, const Tensor& state) {
  if (!leaf.grad_state()) return {};
  const tape::GradState& known = leaf.grad_state()->holder();
  if (!known.grad) return {};
  if (!state) return known.factor ? leaf.grad() : known.grad;
  if (known.factor && known.factor->is(state)) return known.grad;
  return tape::multiplied(leaf.grad(), state.slice(0, 1), leaf.dtype());
}

GradScaler::GradScaler(Device& device, const GradScalerOptions& options) : spec_(options.spec) {
  int exponent = 0;
  if (!(options.initial > 0) || std::frexp(options.initial, &exponent) != 0.5 || exponent < -125 || exponent > 128)
    throw Error(fmt::format("the first scale of a gradient scaler: expected a power of two that fits in f32, got {}", options.initial),
                "65536 is usual");
  const auto scale = static_cast<float>(options.initial);
  state_ = from_host(std::vector<float>{scale, 1 / scale, 0, 0}, {kScalerState}, device);
}

std::shared_ptr<const tape::Factor> GradScaler::factor() const { return factor_of(state_); }

void GradScaler::set_state(const Tensor& state) {
  check_scaler_state(state);
  state_.copy_from(state);
}

void GradScaler::step(std::span<const AdamTensor> tensors, const AdamSpec& spec) {
  std::vector<ConstView> gradients;
  gradients.reserve(tensors.size());
  for (const AdamTensor& tensor : tensors) gradients.push_back(tensor.gradient);
  Backend& backend = state_.backend();
  backend.run(op::CheckFinite{gradients, state_});
  backend.run(op::Adam{tensors, spec, state_});
  backend.run(op::UpdateScale{state_, spec_});
}

}  // namespace mirilla::amp
