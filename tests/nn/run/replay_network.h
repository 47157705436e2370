// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/core/philox.h"
#include "nn/modules/resnet.h"
#include "nn/train/adam.h"
#include "nn/train/freeze.h"
#include "nn/train/training_step.h"

/// A network of every kind of module that ResNet has, small enough for the executor, and its training as the tests run it.
namespace mirilla::nn::replaying {

inline constexpr int kClasses = 5;
inline constexpr int64_t kSide = 12, kBatch = 6;

/// conv1 norm relu, a block with a shortcut, and a small version of fastai's head.
inline std::unique_ptr<Sequential> small_network(Placement placement) {
  auto model = std::make_unique<Sequential>();
  model->append(std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 8, .conv = {.stride = 2, .padding = 1}}, placement));
  model->append(std::make_unique<BatchNorm2d>(8, placement));
  model->append(std::make_unique<ReLU>());
  model->append(std::make_unique<BasicBlock>(8, 16, 2, placement));
  model->append(std::make_unique<AdaptiveConcatPool2d>());
  model->append(std::make_unique<Flatten>());
  model->append(std::make_unique<BatchNorm1d>(32, placement, 1e-3));
  model->append(std::make_unique<Dropout>(0.25));
  model->append(std::make_unique<Linear>(32, 16, false, placement));
  model->append(std::make_unique<ReLU>());
  model->append(std::make_unique<BatchNorm1d>(16, placement, 1e-3));
  model->append(std::make_unique<Dropout>(0.5));
  model->append(std::make_unique<Linear>(16, kClasses, false, placement));
  initialise(*model, 5);
  return model;
}

inline Tensor pictures(uint32_t step, int64_t n, Placement placement) {
  const RandomKey key{.seed = 3, .purpose = Purpose::kTest, .step = step};
  std::vector<float> values(static_cast<size_t>(n * kSide * kSide * 3));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 4 * to_unit(key.bits(static_cast<uint32_t>(i))) - 2;
  const Tensor all = from_host(values, {n, kSide, kSide, 3}, placement.device);
  return all.to(placement.dtype);
}

inline std::vector<int64_t> labels(uint32_t step, int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>((3 * i + step * 7 + step / 2) % kClasses);
  return all;
}

/// The shape of one-cycle: rates of two groups that rise and fall, and a momentum that does the opposite.
inline Rates rates(uint32_t step) {
  const double up = step < 6 ? step / 6.0 : (20.0 - step) / 14;
  return {.lr = {2e-4 * (0.1 + up), 2e-3 * (0.1 + up)}, .momentum = 0.95 - 0.1 * up};
}

class Training {
 public:
  Training(Device& device, amp::Precision precision, const ReplayOptions& replay, double scale = 1024)
      : placement{device},
        precision_(precision),
        model(small_network(placement)),
        adam(groups_of(*model)),
        scaler(device, {.initial = scale}),
        step(*model, adam, {.precision = precision, .seed = 11, .replay = replay}) {
    model->train();
  }

  Tensor take(uint32_t number, int64_t n = kBatch) {
    const std::vector<int64_t> targets = labels(number, n);
    Placement input = placement;
    if (precision_ != amp::Precision::fp32) input.dtype = amp::dtype_of(precision_);
    return step({.input = pictures(number, n, input),
                 .labels = targets,
                 .rates = rates(number),
                 .number = number,
                 .scaler = precision_ == amp::Precision::fp16 ? &scaler : nullptr});
  }

  /// Parameters and buffers.
  std::vector<NamedTensor> model_values() const {
    std::vector<NamedTensor> all = model->parameters();
    for (NamedTensor& buffer : model->buffers()) all.push_back(std::move(buffer));
    return all;
  }
  /// Those, and the optimizer's moments and counts; all with names.
  std::vector<NamedTensor> everything() const {
    std::vector<NamedTensor> all = model_values();
    for (const AdamSlot& slot : adam.state()) {
      if (!slot.m) continue;
      all.push_back({slot.name + " m", slot.m});
      all.push_back({slot.name + " v", slot.v});
      all.push_back({slot.name + " step", slot.step});
    }
    all.push_back({"scaler", scaler.state()});
    return all;
  }

  void copy_from(const Training& other) {
    const auto copy = [](std::vector<NamedTensor> to, const std::vector<NamedTensor>& from) {
      for (size_t i = 0; i < to.size(); ++i) to[i].tensor.copy_from(from[i].tensor);
    };
    copy(model->parameters(), other.model->parameters());
    copy(model->buffers(), other.model->buffers());
    adam.set_state(other.adam.state());
    scaler.set_state(other.scaler.state());
  }

  Placement placement;

 private:
  amp::Precision precision_;

  static std::vector<std::vector<NamedTensor>> groups_of(const Module& model) {
    std::vector<std::vector<NamedTensor>> groups(2);
    for (NamedTensor& parameter : model.parameters()) {
      const bool head = std::stoi(parameter.name) > 3;
      groups[head ? 1 : 0].push_back(std::move(parameter));
    }
    return groups;
  }

 public:
  std::unique_ptr<Sequential> model;
  Adam adam;
  amp::GradScaler scaler;
  TrainingStep step;
};

}  // namespace mirilla::nn::replaying
