// SPDX-License-Identifier: MIT
#include "nn/train/adam.h"

#include "engine/amp/autocast.h"
#include "kernels/core/error.h"

namespace mirilla::nn {

Adam::Adam(std::vector<std::vector<NamedTensor>> groups, const AdamOptions& options) : Optimizer(std::move(groups)), options_(options) {
  for (const auto& group : groups_)
    for (const NamedTensor& parameter : group) slots_.push_back({.name = parameter.name});
}

// The arguments of a step on the device, except the rates.
struct Adam::Call {
  std::vector<AdamTensor> tensors;
  std::vector<size_t> groups;                    // of each tensor
  std::vector<Tensor> gradients;                 // own what the tensors point to
  std::vector<std::pair<Tensor, DType>> copied;  // parameters whose half copy is written, and its dtype
  Backend* backend = nullptr;
};

template <class F>
void Adam::run(F set_rate, const AdamSpec& spec, amp::GradScaler* scaler) {
  Call call = prepared(scaler);
  if (!call.backend) return;
  for (size_t i = 0; i < call.tensors.size(); ++i) set_rate(call.tensors[i], call.groups[i]);
  scaler ? scaler->step(call.tensors, spec) : call.backend->run(op::Adam{call.tensors, spec, {}});
  for (const auto& [parameter, half] : call.copied) amp::mark_half_copy_current(parameter, half);
}

void Adam::step(const Rates& rates, amp::GradScaler* scaler) {
  check_rates("Adam", rates);
  run([&](AdamTensor& tensor, size_t group) { tensor.learning_rate = rates.lr[group]; },
      {.beta1 = rates.momentum, .beta2 = options_.beta2, .eps = options_.eps}, scaler);
}

void Adam::step(const Tensor& rates, amp::GradScaler* scaler) {
  check_rates("Adam", rates);
  const auto groups = static_cast<int64_t>(groups_.size());
  const auto at = [&](int64_t i) { return rates.slice(i, i + 1); };
  const Tensor momentum = at(groups);
  run([&](AdamTensor& tensor, size_t group) { tensor.rate = at(static_cast<int64_t>(group)); },
      {.beta2 = options_.beta2, .eps = options_.eps, .momentum = momentum}, scaler);
}

Adam::Call Adam::prepared(amp::GradScaler* scaler) {
  Call call;
  call.tensors.reserve(slots_.size());
  size_t index = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (NamedTensor& parameter : groups_[g]) {
      AdamSlot& slot = slots_[index++];
      const Tensor gradient = amp::gradient_under(parameter.tensor, scaler ? scaler->state() : Tensor());
      if (!gradient) continue;
      call.gradients.push_back(gradient);
      Tensor half_copy = amp::current_half_copy(parameter.tensor);
      if (half_copy) call.copied.emplace_back(parameter.tensor, half_copy.dtype());
      if (!slot.m) {
        slot.m = zeros(parameter.tensor.shape(), parameter.tensor.dtype(), parameter.tensor.device());
        slot.v = zeros(parameter.tensor.shape(), parameter.tensor.dtype(), parameter.tensor.device());
        slot.step = zeros({1}, DType::i64, parameter.tensor.device());
      }
      call.backend = &parameter.tensor.backend();
      call.groups.push_back(g);
      call.tensors.push_back({.parameter = parameter.tensor,
                              .gradient = gradient,
                              .m = slot.m,
                              .v = slot.v,
                              .weight_decay = parameter.tensor.shape().rank() > 1 ? options_.weight_decay : 0,
                              .step = slot.step,
                              .copy = half_copy});
    }
  }
  return call;
}

void Adam::clear() {
  for (AdamSlot& slot : slots_) slot = {.name = slot.name};
}

void Adam::set_state(const std::vector<AdamSlot>& state) {
  if (state.size() != slots_.size())
    throw WeightsError(fmt::format("the optimizer has {} parameters, got a state for {}", slots_.size(), state.size()));
  size_t index = 0;
  std::vector<AdamSlot> copy;
  for (const auto& group : groups_) {
    for (const NamedTensor& parameter : group) {
      const AdamSlot& from = state[index++];
      const bool has_moments = from.m && from.v && from.step;
      const bool has_nothing = !from.m && !from.v && !from.step;
      const bool fits = has_nothing || (has_moments && from.m.shape() == parameter.tensor.shape() &&
                                        from.v.shape() == parameter.tensor.shape() && from.step.shape() == Shape{1});
      if (from.name != parameter.name || !fits)
        throw WeightsError(fmt::format("the optimizer state of '{}' does not fit the parameter '{}' {}", from.name, parameter.name,
                                       to_string(parameter.tensor.shape())));
      copy.push_back({.name = from.name});
      if (!has_moments) continue;
      copy.back().m = empty_like(parameter.tensor);
      copy.back().v = empty_like(parameter.tensor);
      copy.back().step = empty({1}, DType::i64, parameter.tensor.device());
      copy.back().step.copy_from(from.step);
      copy.back().m.copy_from(from.m);
      copy.back().v.copy_from(from.v);
    }
  }
  slots_ = std::move(copy);
}

std::vector<OptimizerSlot> Adam::kept() const {
  std::vector<OptimizerSlot> all;
  for (const AdamSlot& slot : slots_) {
    all.push_back({.name = slot.name});
    if (slot.m) all.back().tensors = {slot.m, slot.v, slot.step};
  }
  return all;
}

void Adam::restore(const std::vector<OptimizerSlot>& slots) {
  std::vector<AdamSlot> state;
  for (const OptimizerSlot& slot : slots) {
    state.push_back({.name = slot.name});
    if (slot.tensors.empty()) continue;
    if (slot.tensors.size() != 3)
      throw WeightsError(fmt::format("the optimizer state of '{}' has {} tensors, and Adam keeps 3", slot.name, slot.tensors.size()));
    state.back().m = slot.tensors[0];
    state.back().v = slot.tensors[1];
    state.back().step = slot.tensors[2];
  }
  set_state(state);
}

OptimizerMaker adam(const AdamOptions& options) {
  return [options](std::vector<std::vector<NamedTensor>> groups) { return std::make_unique<Adam>(std::move(groups), options); };
}

}  // namespace mirilla::nn
