// SPDX-License-Identifier: MIT
#include "nn/train/training_step.h"

#include <cstring>

#include "engine/amp/autocast.h"
#include "engine/tape.h"
#include "nn/modules/layers.h"

namespace mirilla::nn {

namespace {

// A part of the host's input, and its destination on the device.
struct Part {
  const void* from;
  size_t bytes;
  Tensor* to;
};

}  // namespace

TrainingStep::TrainingStep(Module& model, Optimizer& optimizer, const TrainingStepOptions& options)
    : model_(model), optimizer_(optimizer), options_(options), device_(placement_of(model).device), replayer_(model, options.replay) {
  if (!replayer_.active()) return;
  rates_ = empty({static_cast<int64_t>(optimizer.groups().size()) + 1}, DType::f64, device_);
  number_ = empty({1}, DType::i64, device_);
}

std::byte* TrainingStep::turn_for(size_t bytes) {
  if (!ring_ || ring_->bytes() < bytes) {
    ring_ = nullptr;  // waits for running reads from it
    ring_ = std::make_unique<PinnedRing>(device_, bytes);
  }
  return ring_->next();
}

void TrainingStep::send(std::span<const int64_t> labels, Tensor& targets, const Step* step) {
  std::vector<Part> parts{{labels.data(), labels.size_bytes(), &targets}};
  std::vector<double> rates;
  if (step) {
    rates = step->rates.lr;
    rates.push_back(step->rates.momentum);
    parts.push_back({rates.data(), rates.size() * sizeof(double), &rates_});
    parts.push_back({&step->number, sizeof step->number, &number_});
  }
  size_t bytes = 0;
  for (const Part& part : parts) bytes += part.bytes;
  std::byte* at = turn_for(bytes);
  for (const Part& part : parts) {
    if (part.bytes == 0) continue;
    std::memcpy(at, part.from, part.bytes);
    const View to = *part.to;
    device_.copy_from_pinned(to.address, at, part.bytes);
    at += part.bytes;
  }
  ring_->sent();
}

Tensor TrainingStep::backward_from(const Tensor& input, const Tensor& targets, const amp::GradScaler* scaler) {
  const amp::Autocast autocast(amp::dtype_of(options_.precision));
  const Tensor logits = model_(input);
  if (options_.classes > 0 && logits.shape() != Shape{input.size(0), options_.classes})
    throw ShapeError(
        fmt::format("the network gives {} for {} pictures of {} classes", to_string(logits.shape()), input.size(0), options_.classes),
        "its last layer has one output for each class of the vocabulary");
  const Tensor loss = (options_.loss ? *options_.loss : plain_cross_entropy())(logits, targets);
  tape::backward(loss, {.factor = scaler ? scaler->factor() : nullptr});
  return loss;
}

Tensor TrainingStep::forward_backward(const Tensor& input, std::span<const int64_t> labels, const amp::GradScaler* scaler) {
  Tensor targets = empty({static_cast<int64_t>(labels.size())}, DType::i64, device_);
  send(labels, targets, nullptr);
  return backward_from(input, targets, scaler);
}

Tensor TrainingStep::run(const std::vector<Tensor>& inputs, const Step& step) {
  model_.begin_step(options_.seed, number_ ? 0 : static_cast<uint32_t>(step.number), number_);
  const Tensor loss = backward_from(inputs[0], inputs[1], step.scaler);
  rates_ ? optimizer_.step(rates_, step.scaler) : optimizer_.step(step.rates, step.scaler);
  optimizer_.zero_grad();  // so that no gradient occupies memory during validation
  return loss;
}

Tensor TrainingStep::operator()(const Step& step) {
  optimizer_.check_rates("a training step", step.rates);
  Tensor targets = replayer_.input(1, {static_cast<int64_t>(step.labels.size())}, DType::i64);
  send(step.labels, targets, rates_ ? &step : nullptr);
  const auto lasting = [&] {
    std::vector<Tensor> all;
    for (const OptimizerSlot& slot : optimizer_.kept()) all.insert(all.end(), slot.tensors.begin(), slot.tensors.end());
    if (step.scaler) all.push_back(step.scaler->state());
    return all;
  };
  return replayer_({.key = {static_cast<uint64_t>(options_.precision)},
                    .inputs = {step.input, targets},
                    .lasting = lasting,
                    .run = [&](const std::vector<Tensor>& inputs) { return run(inputs, step); },
                    .forget = [&] { optimizer_.zero_grad(); }});
}

}  // namespace mirilla::nn
