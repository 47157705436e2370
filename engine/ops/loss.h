// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// exp(x) / sum exp(x) over the last dimension of (N,C). Not recorded: the loss below has its own gradient.            [torch.softmax]
Tensor softmax(const Tensor& x);

struct CrossEntropy {
  Tensor loss;    // () the mean over the batch
  Tensor losses;  // (N) one a picture, off the tape
};

/// losses[n] = log sum_c exp(logits[n,c]) - logits[n,target[n]], and their mean.               [torch.nn.functional.cross_entropy]
///
///   logits  (N,C) f32 (f64), f16, bf16; for halves all is computed in f32, and loss and losses are f32
///   targets  (N) i64, each in 0..C-1 (the caller's promise: checking would wait for the device)
///
/// Backward: dlogits = dloss (softmax(logits) - onehot(targets)) / N, computed in the forward kernel. Does not wait for the device.
CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets);

}  // namespace mirilla
