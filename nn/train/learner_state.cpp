// SPDX-License-Identifier: MIT
#include "nn/train/learner.h"

namespace mirilla::nn {

namespace {

std::vector<Tensor> tensors_of(const Module& model) {
  std::vector<Tensor> tensors;
  for (const auto& all : {model.parameters(), model.buffers()})
    for (const NamedTensor& named : all) tensors.push_back(named.tensor);
  return tensors;
}

}  // namespace

void Learner::renew_scaler() {
  if (options_.precision == amp::Precision::fp16) scaler_.emplace(placement_.device, options_.scaler);
}

LearnerState Learner::snapshot() const {
  LearnerState state{.step = step_, .epoch = epoch_, .training = model_.training()};
  for (const Tensor& tensor : tensors_of(model_)) state.values.push_back(tensor.clone());
  for (const OptimizerSlot& slot : optimizer_->kept()) {
    state.optimizer.push_back({.name = slot.name});
    for (const Tensor& tensor : slot.tensors) state.optimizer.back().tensors.push_back(tensor.clone());
  }
  if (scaler_) state.scaler = scaler_->state().clone();
  return state;
}

void Learner::restore(const LearnerState& state) {
  std::vector<Tensor> tensors = tensors_of(model_);
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_from(state.values[i]);
  optimizer_->zero_grad();
  optimizer_->restore(state.optimizer);
  if (scaler_ && state.scaler) scaler_->set_state(state.scaler);
  step_ = state.step;
  epoch_ = state.epoch;
  model_.train(state.training);
}

}  // namespace mirilla::nn
