// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/amp/grad_scaler.h"
#include "nn/modules/module.h"
#include "nn/train/schedule.h"

namespace mirilla::nn {

struct AdamOptions {
  double beta2 = 0.99;
  double eps = 1e-5;
  double weight_decay = 0.01;  // of tensors with more than one dimension: batch norms' parameters and biases never decay
};

/// What Adam keeps of one parameter.
struct AdamSlot {
  std::string name;
  Tensor m, v;  // moments, like the parameter; no tensors before its first step
  Tensor step;  // (1) i64: how many steps it took, counted on the device; no tensor before the first
  /// The same as a number: reads it back and waits for the device.
  int64_t steps() const { return step ? step.to_vector<int64_t>()[0] : 0; }
};

/// Adam with decoupled weight decay over groups of parameters, as kernels/core/backend.h states the formula; beta1 is the momentum of the
/// step's rates. A parameter without a gradient is skipped whole: no decay, and its own count of steps stands still.
/// [fastai.optimizer.Adam]
class Adam {
 public:
  explicit Adam(std::vector<std::vector<NamedTensor>> groups, const AdamOptions& options = {});

  /// One step of every parameter that has a gradient, in one call of the device. Does not wait for it. Throws Error where rates.lr has not
  /// one rate a group. With a scaler, gradients are read under its scale, and where one is not finite nothing is written but the scale. A
  /// half copy (amp::half_copy) that was up to date is written beside its parameter and stays so.
  void step(const Rates& rates, amp::GradScaler* scaler = nullptr);
  /// The same to the bit with rates that lie on the device when it comes to the step: f64 (groups + 1), the groups' learning rates and
  /// then the momentum. For a step that is recorded and run again with others.
  void step(const Tensor& rates, amp::GradScaler* scaler = nullptr);
  /// Throws Error where `rates` has not one rate for each group.
  void check(const Rates& rates) const;
  /// Forgets the gradients.
  void zero_grad();
  /// Forgets moments and counts of steps, as fastai's freeze and unfreeze do. [fastai.optimizer.Optimizer.clear_state]
  void clear();

  const std::vector<std::vector<NamedTensor>>& groups() const { return groups_; }
  /// For checkpoints, in the order of the parameters. The tensors are the optimizer's own, not copies.
  const std::vector<AdamSlot>& state() const { return slots_; }
  /// Copies a state in. Throws WeightsError where names or shapes differ.
  void set_state(const std::vector<AdamSlot>& state);

 private:
  struct Call;
  Call prepared(amp::GradScaler* scaler);
  /// `set_rate` writes a tensor's rate, by value or by place, from the number of its group; `spec` has the momentum either way.
  template <class F>
  void run(F set_rate, const AdamSpec& spec, amp::GradScaler* scaler);

  std::vector<std::vector<NamedTensor>> groups_;
  AdamOptions options_;
  std::vector<AdamSlot> slots_;
};

}  // namespace mirilla::nn
