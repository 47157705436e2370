// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The state of a batch norm: weight (gamma) and bias (beta), which train, and the running statistics, which training updates in place. All
/// (C).
struct BatchNormState {
  Tensor weight, bias, running_mean, running_var;
  double eps = 1e-5;
  double momentum = 0.1;

  /// 1 / sqrt(running_var + eps) for evaluation, kept until running_var is written to, and the version it was computed from.
  struct Evaluation {
    Tensor inv_std;
    uint64_t storage_id = 0, version = 0;
    double eps = 0;
  };
  Evaluation evaluation = {};
};

/// y = (x - mean) / sqrt(var + eps) weight + bias, over all dimensions but the last.                [torch.nn.functional.batch_norm]
///
///   x  (N,H,W,C) or (N,C), f32 (f64), f16, bf16;  y  like x; the state f32 where x is half
///
/// Training: mean and (biased) variance of this batch, and running statistics moved by `momentum` towards them (variance unbiased).
/// Evaluation: the running statistics. Backward: see op::BatchNormBackward in kernels/core/backend.h. Does not wait for the device. Throws
/// ShapeError where C differs, and in training for a single value per channel, as PyTorch does.
Tensor batch_norm(const Tensor& x, BatchNormState& state, bool training);

struct BatchNormAddReluResult {
  Tensor y;           // like x
  Tensor normalized;  // like x, under tape::keep_gradient; no tensor unless requested
};

/// y = max(batch_norm(x) + residual, 0); the residual may be absent. One pass where the device has op::BatchNormAddRelu, else
/// composed from batch_norm, add and relu, with the same tape either way.
///
/// `observe` requests the value between the norm and the sum, for a watch: it comes from the same kernel, its gradient from the same
/// backward, and no bit of y changes. Keeps x, and y or a mask, for the backward pass.
BatchNormAddReluResult batch_norm_add_relu(const Tensor& x, BatchNormState& state, const Tensor& residual, bool training,
                                           bool observe = false);

/// y = max_pool2d(max(batch_norm(x), 0), spec): the stem of a ResNet, in training or with given statistics. Where the device has
/// op::BatchNormReluMaxPool2d, which windows of 3 x 3 every 2 pixels fit, one pass that never stores what the pool reads, and a backward
/// whose two passes read the pool's gradient; else composed from batch_norm_add_relu and max_pool2d. The same bits either way.
///
/// Keeps x and one byte per element of y. Does not wait for the device. Throws as both of them.
Tensor batch_norm_relu_max_pool2d(const Tensor& x, BatchNormState& state, const Pool2dSpec& spec, bool training);

/// A batch norm in evaluation as one factor and one offset per channel: y = x scale + shift, scale = weight / sqrt(running_var + eps),
/// shift = bias - running_mean scale. For folding into the convolution before it: w'[k] = w[k] scale[k], bias' = shift (+ bias scale).
/// Computed in double and rounded once: by the device where it has op::FoldBatchNorm and w is f32, which does not wait, else on the host,
/// which does; the same bits. Throws ShapeError where a tensor does not have w's K numbers.
struct FoldedBatchNorm {
  Tensor w, bias;  // like the convolution's w; (K) f32
};
FoldedBatchNorm fold_batch_norm(const Tensor& w, const Tensor& bias, const BatchNormState& state);

}  // namespace mirilla
