// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// exp(x) / sum exp(x) over the last dimension of (N,C). Not recorded: the loss below has its own gradient.            [torch.softmax]
Tensor softmax(const Tensor& x);

struct CrossEntropy {
  Tensor loss;    // () the mean over the batch
  Tensor losses;  // (N) one per picture, off the tape
  /// (N) what each counts in the mean, off the tape; no tensor: all the same.
  Tensor weights = {};
};

/// losses[n] = log sum_c exp(logits[n,c]) - logits[n,target[n]], and their mean.               [torch.nn.functional.cross_entropy]
///
///   logits  (N,C) f32 (f64), f16, bf16; for halves everything is computed in f32, and loss and losses are f32
///   targets  (N) i64, each in 0..C-1 (the caller's promise: checking would wait for the device)
///
/// Backward: dlogits = dloss (softmax(logits) - onehot(targets)) / N, computed in the forward kernel. Does not wait for the device.
CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets);

struct CrossEntropyOptions {
  double label_smoothing = 0;  // in 0..1: the share of the target that is spread evenly over all classes
  Tensor weights = {};         // (C) one per class, like the losses; no tensor: all 1
};

/// The same with smoothed targets e and class weights w, t[n] the target:                              [torch.nn.CrossEntropyLoss]
///
///   losses[n] = (1 - e) w[t[n]] (-log p[n,t[n]]) + e / C sum_c w[c] (-log p[n,c]),  p = softmax(logits)
///   loss      = sum losses / sum w[t[n]]
///
/// Without either it is the function above, to the bit. Composed of the table's core operations: some twenty small ones on (N,C). A logit
/// that is -inf makes a smoothed loss infinite, as in PyTorch. Throws ShapeError for weights that do not fit, Error for a smoothing outside
/// 0..1.
CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options);

}  // namespace mirilla
