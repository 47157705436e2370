// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "nn/train/optimizer.h"

namespace mirilla::nn {

struct SgdOptions {
  double weight_decay = 0;  // of every parameter, added to its gradient
  bool nesterov = false;
};

/// Stochastic gradient descent with momentum:                                                [torch.optim.SGD, dampening 0]
///
///   g = grad + weight_decay p;   b = momentum b + g   (b = g in the first step)
///   p -= learning_rate b,  with Nesterov's momentum  p -= learning_rate (g + momentum b)
///
/// The momentum is that of the step's rates, so a one-cycle schedule moves it too, as fastai's does; a constant one gives what PyTorch
/// gives. Composed of the table's core operations, about six per parameter, on every device; rates and the scaler's overflow are numbers on
/// the device, so that a step does not wait and can be recorded.
class Sgd final : public Optimizer {
 public:
  explicit Sgd(std::vector<std::vector<NamedTensor>> groups, const SgdOptions& options = {});

  void step(const Rates& rates, amp::GradScaler* scaler = nullptr) override;
  void step(const Tensor& rates, amp::GradScaler* scaler = nullptr) override;
  void clear() override;
  /// One tensor per parameter: the momentum buffer b.
  std::vector<OptimizerSlot> kept() const override { return slots_; }
  void restore(const std::vector<OptimizerSlot>& slots) override;

 private:
  struct Factors;
  struct Moved;
  std::vector<Moved> with_gradients(amp::GradScaler* scaler);
  void run(std::span<const Moved> moved, Factors factors, amp::GradScaler* scaler) const;
  void move(const Moved& one, const Factors& factors) const;

  SgdOptions options_;
  std::vector<OptimizerSlot> slots_;
};

/// For LearnerOptions::optimizer.
OptimizerMaker sgd(const SgdOptions& options = {});

}  // namespace mirilla::nn
