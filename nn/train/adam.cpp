// SPDX-License-Identifier: MIT
#include "nn/train/adam.h"

#include "engine/amp/autocast.h"
#include "kernels/core/error.h"

namespace mirilla::nn {

Adam::Adam(std::vector<std::vector<NamedTensor>> groups, const AdamOptions& options) : groups_(std::move(groups)), options_(options) {
  for (const auto& group : groups_)
    for (const NamedTensor& parameter : group) slots_.push_back({.name = parameter.name});
}

// A step as the device takes it, but for its rates.
struct Adam::Call {
  std::vector<AdamTensor> tensors;
  std::vector<size_t> groups;             // of each tensor
  std::vector<Tensor> gradients, copied;  // the first keeps what the tensors point into, the second has its copy written
  Backend* backend = nullptr;
};

template <class F>
void Adam::run(F set_rate, const AdamSpec& spec, amp::GradScaler* scaler) {
  Call call = prepared(scaler);
  if (!call.backend) return;
  for (size_t i = 0; i < call.tensors.size(); ++i) set_rate(call.tensors[i], call.groups[i]);
  scaler ? scaler->step(call.tensors, spec) : call.backend->adam(call.tensors, spec, {});
  for (const Tensor& parameter : call.copied) amp::mark_half_copy_current(parameter);
}

void Adam::check(const Rates& rates) const {
  if (rates.lr.size() != groups_.size())
    throw Error(fmt::format("Adam: {} learning rates came for {} parameter groups", rates.lr.size(), groups_.size()),
                "a schedule has one rate for each group");
}

void Adam::step(const Rates& rates, amp::GradScaler* scaler) {
  check(rates);
  run([&](AdamTensor& tensor, size_t group) { tensor.learning_rate = rates.lr[group]; },
      {.beta1 = rates.momentum, .beta2 = options_.beta2, .eps = options_.eps}, scaler);
}

void Adam::step(const Tensor& rates, amp::GradScaler* scaler) {
  const auto groups = static_cast<int64_t>(groups_.size());
  if (rates.dtype() != DType::f64 || rates.shape() != Shape{groups + 1})
    throw Error(fmt::format("Adam: wants its rates as f64 ({}) for {} parameter groups and got {}", groups + 1, groups, describe(rates)));
  const auto at = [&](size_t i) { return rates.slice(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1); };
  const Tensor momentum = at(groups_.size());
  run([&](AdamTensor& tensor, size_t group) { tensor.rate = at(group); },
      {.beta2 = options_.beta2, .eps = options_.eps, .momentum = momentum}, scaler);
}

Adam::Call Adam::prepared(amp::GradScaler* scaler) {
  Call call;
  call.tensors.reserve(slots_.size());
  size_t index = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (NamedTensor& parameter : groups_[g]) {
      AdamSlot& slot = slots_[index++];
      const Tensor gradient = scaler ? amp::gradient_under(parameter.tensor, scaler->state()) : parameter.tensor.grad();
      if (!gradient) continue;
      call.gradients.push_back(gradient);
      Tensor half_copy = amp::current_half_copy(parameter.tensor);
      if (half_copy) call.copied.push_back(parameter.tensor);
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

void Adam::zero_grad() {
  for (auto& group : groups_)
    for (NamedTensor& parameter : group) parameter.tensor.clear_grad();
}

void Adam::clear() {
  for (AdamSlot& slot : slots_) slot = {.name = slot.name};
}

void Adam::set_state(const std::vector<AdamSlot>& state) {
  if (state.size() != slots_.size())
    throw WeightsError(fmt::format("the optimizer has {} parameters and a state for {} came", slots_.size(), state.size()));
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

}  // namespace mirilla::nn
