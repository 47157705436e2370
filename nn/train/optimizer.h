// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/amp/grad_scaler.h"
#include "nn/modules/module.h"
#include "nn/train/schedule.h"

namespace mirilla::nn {

/// What an optimizer keeps of one parameter from step to step.
struct OptimizerSlot {
  std::string name;                  // the parameter's
  std::vector<Tensor> tensors = {};  // in an order of the optimizer's own; no tensors before the first step
};

/// Moves parameters along their gradients. Parameters come in groups, each with a learning rate of its own.
class Optimizer {
 public:
  explicit Optimizer(std::vector<std::vector<NamedTensor>> groups) : groups_(std::move(groups)) {}
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One step of every parameter that has a gradient; one without is skipped whole. Does not wait for the device. Throws Error where
  /// rates.lr has not one rate per group. With a scaler, gradients are read under its scale, and where one is not finite nothing is written
  /// but the scale. A half copy (amp::half_copy) that was up to date is written beside its parameter and stays so.
  virtual void step(const Rates& rates, amp::GradScaler* scaler = nullptr) = 0;
  /// The same to the bit with rates that lie on the device when it comes to the step: f64 (groups + 1), the groups' learning rates and
  /// then the momentum. For a step that is recorded and run again with others.
  virtual void step(const Tensor& rates, amp::GradScaler* scaler = nullptr) = 0;
  /// Forgets what it keeps, as fastai's freeze and unfreeze do.                          [fastai.optimizer.Optimizer.clear_state]
  virtual void clear() = 0;

  /// For checkpoints, and for what records a step, in the order of the parameters. The tensors are the optimizer's own, not copies.
  virtual std::vector<OptimizerSlot> kept() const = 0;
  /// Copies in what kept() gave. Throws WeightsError where names or shapes differ.
  virtual void restore(const std::vector<OptimizerSlot>& slots) = 0;

  /// Forgets the gradients.
  void zero_grad();
  const std::vector<std::vector<NamedTensor>>& groups() const { return groups_; }
  /// Throws Error where there is not one rate per group; `name` begins the sentence.
  void check_rates(std::string_view name, const Rates& rates) const;
  void check_rates(std::string_view name, const Tensor& rates) const;

 protected:
  std::vector<std::vector<NamedTensor>> groups_;
};

/// Makes one for a network's parameter groups: LearnerOptions::optimizer.
using OptimizerMaker = std::function<std::unique_ptr<Optimizer>(std::vector<std::vector<NamedTensor>> groups)>;

}  // namespace mirilla::nn
