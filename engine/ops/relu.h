// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y = max(x, 0), elementwise; NaN stays NaN.                                   [torch.nn.functional.relu]
///
///   x  any shape, any float dtype the device has;  y  like x
///
/// Backward: dx = 0 where y <= 0 (0 at the kink, as PyTorch), else dy, also where y is NaN. Keeps y, which the next layer
/// keeps anyway, and not x. Does not wait for the device.
Tensor relu(const Tensor& x);

/// Guided backpropagation: while it lives, backward on this thread passes only positive gradients through a ReLU,    [Springenberg et al.
/// 2015]
///
///   dx = 0 where y <= 0 or dy < 0, else dy
///
/// in relu, batch_norm_add_relu, batch_norm_relu_max_pool2d and conv2d_bias_add_relu, whose residual gets the same. It applies when
/// backward runs: the forward pass does not depend on it, and a backward pass after its end is the ordinary one again.
class GuidedRelu {
 public:
  GuidedRelu();
  ~GuidedRelu();
  GuidedRelu(const GuidedRelu&) = delete;
  GuidedRelu& operator=(const GuidedRelu&) = delete;

 private:
  bool before_;
};

/// Whether a GuidedRelu lives on this thread.
bool relus_are_guided();

/// For an operator with a ReLU, at the start of its backward: dy, or max(dy, 0) while a GuidedRelu lives.
Tensor arriving_at_relu(const Tensor& dy);

}  // namespace mirilla
