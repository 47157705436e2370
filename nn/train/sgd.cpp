// SPDX-License-Identifier: MIT
#include "nn/train/sgd.h"

#include "engine/amp/autocast.h"
#include "engine/amp/grad_scaler.h"
#include "engine/off_tape.h"
#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

// Each element of f64 (n) as a number of its own in `dtype`. A GPU's table reads f64 in one operation alone, as Adam's rates: a step from 0
// along a gradient of -1 that remembers nothing ends at the rate, rounded as a value given by the host is.
std::vector<Tensor> read_on_device(const Tensor& rates, DType dtype) {
  const auto number = [&](double value) { return full({1}, value, dtype, rates.device()); };
  std::vector<Tensor> numbers, scratch;
  std::vector<AdamTensor> steps;
  for (int64_t i = 0; i < rates.size(0); ++i) {
    numbers.push_back(number(0));
    Tensor gradient = number(-1), m = number(0), v = number(0), step = zeros({1}, DType::i64, rates.device());
    const Tensor rate = rates.slice(i, i + 1);
    steps.push_back({.parameter = numbers.back(), .gradient = gradient, .m = m, .v = v, .step = step, .rate = rate});
    scratch.insert(scratch.end(), {gradient, m, v, step});
  }
  rates.backend().run(op::Adam{steps, {.beta1 = 0, .beta2 = 0, .eps = 0}, {}});
  return numbers;
}

}  // namespace

// The numbers of a step, each (1) on the device like the parameters. Of a step that is left out (`taken` is 0) the learning rates and the
// decay are 0 and the momentum is 1, so that nothing moves.
struct Sgd::Factors {
  std::vector<Tensor> minus_lr;
  Tensor momentum, decay;
  Tensor unscale, taken;  // under a scaler: 1 / scale, and 1, or 0 where the step is left out

  void leave_out_where(const Tensor& overflow, const Tensor& inverse_scale) {
    unscale = inverse_scale;
    taken = off_tape::sum(full({1}, 1, overflow.dtype(), overflow.device()), off_tape::times(overflow, -1));
    for (Tensor& lr : minus_lr) lr = off_tape::product(lr, taken);
    momentum = off_tape::sum(off_tape::product(momentum, taken), overflow);
    decay = off_tape::product(decay, taken);
  }

  // The gradient as it is under no scale, and 0 where the step is left out: chosen and not multiplied, which would make NaN of an infinity.
  Tensor unscaled(const Tensor& gradient) const {
    if (!taken) return gradient;
    const Tensor mask = off_tape::product(full(gradient.shape(), 1, gradient.dtype(), gradient.device()), taken);
    return off_tape::selected(off_tape::product(gradient, unscale), mask);
  }
};

struct Sgd::Moved {
  Tensor parameter, gradient, buffer;
  size_t group = 0;
};

Sgd::Sgd(std::vector<std::vector<NamedTensor>> groups, const SgdOptions& options) : Optimizer(std::move(groups)), options_(options) {
  clear();
}

void Sgd::clear() {
  slots_.clear();
  for (const auto& group : groups_)
    for (const NamedTensor& parameter : group) slots_.push_back({.name = parameter.name});
}

void Sgd::step(const Rates& rates, amp::GradScaler* scaler) {
  check_rates("SGD", rates);
  std::vector<Moved> moved = with_gradients(scaler);
  if (moved.empty()) return;
  const Tensor& like = moved[0].parameter;
  const auto number = [&](double value) { return full({1}, value, like.dtype(), like.device()); };
  Factors factors{.momentum = number(rates.momentum), .decay = number(options_.weight_decay)};
  for (const double lr : rates.lr) factors.minus_lr.push_back(off_tape::times(number(lr), -1));
  run(moved, std::move(factors), scaler);
}

void Sgd::step(const Tensor& rates, amp::GradScaler* scaler) {
  check_rates("SGD", rates);
  if (rates.device().host_addressable() && !rates.device().recording()) {  // then the host may as well look
    rates.device().synchronize();
    Rates read{.lr = rates.to_vector<double>()};
    read.momentum = read.lr.back();
    read.lr.pop_back();
    return step(read, scaler);
  }
  std::vector<Moved> moved = with_gradients(scaler);
  if (moved.empty()) return;
  const Tensor& like = moved[0].parameter;
  std::vector<Tensor> numbers = read_on_device(rates, like.dtype());
  Factors factors{.momentum = numbers.back(), .decay = full({1}, options_.weight_decay, like.dtype(), like.device())};
  numbers.pop_back();
  for (const Tensor& lr : numbers) factors.minus_lr.push_back(off_tape::times(lr, -1));
  run(moved, std::move(factors), scaler);
}

std::vector<Sgd::Moved> Sgd::with_gradients(amp::GradScaler* scaler) {
  std::vector<Moved> moved;
  size_t index = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (const NamedTensor& parameter : groups_[g]) {
      OptimizerSlot& slot = slots_[index++];
      const Tensor held = amp::gradient_under(parameter.tensor, scaler ? scaler->state() : Tensor());
      if (!held) continue;
      const Tensor gradient = held.to(parameter.tensor.dtype());  // it may be in halves, and the sums below are not
      if (slot.tensors.empty()) slot.tensors.push_back(zeros(gradient.shape(), gradient.dtype(), gradient.device()));
      moved.push_back({.parameter = parameter.tensor, .gradient = gradient, .buffer = slot.tensors[0], .group = g});
    }
  }
  return moved;
}

void Sgd::run(std::span<const Moved> moved, Factors factors, amp::GradScaler* scaler) const {
  if (scaler) {
    std::vector<ConstView> gradients;
    for (const Moved& one : moved) gradients.push_back(one.gradient);
    scaler->look_at(gradients);
    const Tensor& state = scaler->state();  // as kernels/core/backend.h lays it out
    factors.leave_out_where(state.slice(2, 3), state.slice(1, 2));
  }
  for (const Moved& one : moved) move(one, factors);
  if (scaler) scaler->update();
}

void Sgd::move(const Moved& one, const Factors& factors) const {
  Tensor parameter = one.parameter, buffer = one.buffer;
  Tensor half = amp::current_half_copy(parameter);
  Backend& backend = parameter.backend();
  Tensor g = factors.unscaled(one.gradient);
  if (options_.weight_decay != 0) g = off_tape::sum(g, off_tape::product(parameter, factors.decay));
  backend.run(op::Multiply{buffer, factors.momentum, buffer});
  backend.run(op::Add{buffer, g, buffer});
  const Tensor along = options_.nesterov ? off_tape::sum(g, off_tape::product(buffer, factors.momentum)) : buffer;
  backend.run(op::Add{parameter, off_tape::product(along, factors.minus_lr[one.group]), parameter});
  if (!half) return;
  backend.run(op::Cast{parameter, half});
  amp::mark_half_copy_current(parameter, half.dtype());
}

void Sgd::restore(const std::vector<OptimizerSlot>& slots) {
  std::vector<OptimizerSlot> copy;
  size_t index = 0;
  if (slots.size() != slots_.size())
    throw WeightsError(fmt::format("the optimizer has {} parameters, got a state for {}", slots_.size(), slots.size()));
  for (const auto& group : groups_) {
    for (const NamedTensor& parameter : group) {
      const OptimizerSlot& from = slots[index++];
      const bool fits = from.tensors.empty() || (from.tensors.size() == 1 && from.tensors[0].shape() == parameter.tensor.shape());
      if (from.name != parameter.name || !fits)
        throw WeightsError(fmt::format("the optimizer state of '{}' does not fit the parameter '{}' {}", from.name, parameter.name,
                                       to_string(parameter.tensor.shape())));
      copy.push_back({.name = from.name});
      if (from.tensors.empty()) continue;
      copy.back().tensors.push_back(empty_like(parameter.tensor));
      copy.back().tensors[0].copy_from(from.tensors[0]);
    }
  }
  slots_ = std::move(copy);
}

OptimizerMaker sgd(const SgdOptions& options) {
  return [options](std::vector<std::vector<NamedTensor>> groups) { return std::make_unique<Sgd>(std::move(groups), options); };
}

}  // namespace mirilla::nn
