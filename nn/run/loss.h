// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/tensor.h"

namespace mirilla::nn {

/// What training makes small, and validation reports.
class Loss {
 public:
  virtual ~Loss() = default;

  /// The objective of one batch, (): on the tape, so that backward starts from it. Does not wait for the device.
  ///
  ///   output   (N,C) of the network, perhaps in half precision
  ///   targets  (N) i64, each in 0..C-1: the caller's promise
  virtual Tensor operator()(const Tensor& output, const Tensor& targets) const = 0;

  /// The loss of each picture, and what each counts in a mean: mean = sum losses / sum weights. Off the tape; does not wait.
  struct Each {
    Tensor losses, weights;  // (N), f32 or f64; no weights: 1 each
  };
  virtual Each each(const Tensor& output, const Tensor& targets) const = 0;
};

struct CrossEntropySpec {
  double label_smoothing = 0;
  std::vector<double> class_weights = {};  // one per class; none: all 1
};

/// cross_entropy of engine/ops/cross_entropy.h, which has the formulas. [torch.nn.CrossEntropyLoss]
class CrossEntropyLoss final : public Loss {
 public:
  /// Throws UsageError for a smoothing outside 0..1 and for a weight that is negative or not finite.
  explicit CrossEntropyLoss(CrossEntropySpec spec = {});
  Tensor operator()(const Tensor& output, const Tensor& targets) const override;
  Each each(const Tensor& output, const Tensor& targets) const override;

 private:
  Tensor weights_beside(const Tensor& output) const;

  CrossEntropySpec spec_;
  mutable std::mutex mutex_;                // guards what follows
  mutable std::vector<Tensor> on_devices_;  // the class weights, once for each device and dtype: a recorded step reads them again
};

/// Without smoothing and weights: what training takes where nothing else is said.
const Loss& plain_cross_entropy();

}  // namespace mirilla::nn
