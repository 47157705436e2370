// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// y = exp(x) / sum exp(x) over the last dimension of (N,C).                                                     [torch.softmax]
struct Softmax {
  static constexpr std::string_view kName = "softmax";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

/// losses (N) = log sum exp(logits) - logits[target];  dlogits (N,C) = (softmax(logits) - onehot(target)) / N, the gradient of the
/// mean loss. targets (N) i64, each in 0..C-1. Both in one pass; dlogits may be absent. losses and dlogits are f32 for half logits.
///                                                                                             [torch.nn.functional.cross_entropy]
struct CrossEntropy {
  static constexpr std::string_view kName = "cross_entropy";
  ConstView logits, targets;
  View losses, dlogits;
  static auto views(auto& call) { return std::tie(call.logits, call.targets, call.losses, call.dlogits); }
};

}  // namespace mirilla::op
