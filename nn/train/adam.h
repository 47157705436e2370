// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/train/optimizer.h"

namespace mirilla::nn {

struct AdamOptions {
  double beta2 = 0.99;
  double eps = 1e-5;
  double weight_decay = 0.01;  // for tensors with more than one dimension: batch norms' parameters and biases never decay
};

/// Adam's state of one parameter.
struct AdamSlot {
  std::string name;
  Tensor m, v;  // moments, like the parameter; no tensors before its first step
  Tensor step;  // (1) i64: how many steps it took, counted on the device; no tensor before the first
  /// The same as a number: copies it to the host, which waits for the device.
  int64_t steps() const { return step ? step.to_vector<int64_t>()[0] : 0; }
};

/// Adam with decoupled weight decay over groups of parameters, with the formula in kernels/core/backend.h; beta1 is the momentum of the
/// step's rates. A parameter without a gradient is skipped entirely: no decay, and its step count does not change.
/// [fastai.optimizer.Adam]
class Adam final : public Optimizer {
 public:
  explicit Adam(std::vector<std::vector<NamedTensor>> groups, const AdamOptions& options = {});

  /// In one call of the device.
  void step(const Rates& rates, amp::GradScaler* scaler = nullptr) override;
  void step(const Tensor& rates, amp::GradScaler* scaler = nullptr) override;
  /// Forgets moments and counts of steps, as in fastai's freeze and unfreeze. [fastai.optimizer.Optimizer.clear_state]
  void clear() override;

  /// Of each parameter m, v and step.
  std::vector<OptimizerSlot> kept() const override;
  void restore(const std::vector<OptimizerSlot>& slots) override;
  /// The state for checkpoints, in the order of the parameters. The tensors are those of the optimizer, not copies.
  const std::vector<AdamSlot>& state() const { return slots_; }
  /// Copies a state in. Throws WeightsError where names or shapes differ.
  void set_state(const std::vector<AdamSlot>& state);

 private:
  struct Call;
  Call prepared(amp::GradScaler* scaler);
  /// `set_rate` writes a tensor's rate, by value or by place, from the number of its group; `spec` has the momentum either way.
  template <class F>
  void run(F set_rate, const AdamSpec& spec, amp::GradScaler* scaler);

  AdamOptions options_;
  std::vector<AdamSlot> slots_;
};

/// For LearnerOptions::optimizer, which makes this one with LearnerOptions::adam where nothing else is said.
OptimizerMaker adam(const AdamOptions& options = {});

}  // namespace mirilla::nn
