// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"
#include "kernels/core/ops/max_pool2d.h"

namespace mirilla::op {

struct BatchNormApply;
struct BatchNormBackward;

/// Statistics of one training batch. Reduces over every dimension but the last: x is (N,H,W,C) or (N,C), the other views are (C).
///
///   mean    = 1/n sum x;  var = 1/n sum (x - mean)^2;  inv_std = 1 / sqrt(var + eps)
///   running_mean = (1 - momentum) running_mean + momentum mean
///   running_var  = (1 - momentum) running_var  + momentum var n/(n-1)                           [torch.nn.functional.batch_norm]
///
/// Large values are summed in f64: a variance beyond f32 still gives its inv_std, and running_var is infinite (PyTorch: an inv_std of 0,
/// and so y = bias).
struct BatchNormStatistics {
  static constexpr std::string_view kName = "batch_norm_statistics";
  ConstView x;
  double eps = 1e-5;
  double momentum = 0.1;
  View mean, inv_std;              // f32 (f64 for f64)
  View running_mean, running_var;  // updated in place; both present or both absent
  static auto views(auto& call) { return std::tie(call.x, call.mean, call.inv_std, call.running_mean, call.running_var); }
};

/// The form of BatchNormApply with a residual or relu, and of BatchNormBackward with dresidual or relu.
struct BatchNormAddRelu {
  static constexpr std::string_view kName = "batch_norm_add_relu";
  static bool asked(const BatchNormApply& call);
  static bool asked(const BatchNormBackward& call);
};

/// The form of BatchNormApply that leaves a mask, and of BatchNormBackward that reads it in place of y.
struct ReluMask {
  static constexpr std::string_view kName = "relu_mask";
  static bool asked(const BatchNormApply& call);
  static bool asked(const BatchNormBackward& call);
};

/// The form of BatchNormBackward that adds two parts of a gradient.
struct BatchNormGradientSum {
  static constexpr std::string_view kName = "batch_norm_gradient_sum";
  static bool asked(const BatchNormBackward& call);
};

/// The form of BatchNormBackward whose gradient is that of a max pool behind the norm and its ReLU, as BatchNormReluMaxPool2d left them.
struct PooledGradient {
  static constexpr std::string_view kName = "pooled_gradient";
  static bool asked(const BatchNormBackward& call);
};

/// y = (x - mean) inv_std weight + bias, then + residual if present, then max(.,0) if relu. `normalized`, if present, is for a watch:
/// it receives the value before the residual is added. Watching it changes no bit of y. (C) views are f32 beside a half x.
struct BatchNormApply {
  static constexpr std::string_view kName = "batch_norm_apply";
  using Forms = Operations<BatchNormAddRelu, ReluMask>;
  ConstView x, mean, inv_std, weight, bias;
  ConstView residual;  // like x, may be absent
  bool relu = false;
  View y;           // like x
  View normalized;  // like x, may be absent
  View mask;        // (ceil(numel / 8)) u8, may be absent. Bit i % 8 of byte i / 8 is clear where y[i] <= 0
  static auto views(auto& call) {
    return std::tie(call.x, call.mean, call.inv_std, call.weight, call.bias, call.residual, call.y, call.normalized, call.mask);
  }
};

/// BatchNormStatistics, and then BatchNormApply with them: the same bits. A device that has it may read x once.
struct BatchNorm {
  static constexpr std::string_view kName = "batch_norm";
  BatchNormStatistics statistics;
  ConstView weight, bias, residual;  // as in BatchNormApply, and so are the others
  bool relu = false;
  View y, normalized, mask;
  BatchNormApply apply() const {
    return {.x = statistics.x,
            .mean = statistics.mean,
            .inv_std = statistics.inv_std,
            .weight = weight,
            .bias = bias,
            .residual = residual,
            .relu = relu,
            .y = y,
            .normalized = normalized,
            .mask = mask};
  }
  static auto views(auto& call) {
    return std::tie(call.statistics.x, call.statistics.mean, call.statistics.inv_std, call.statistics.running_mean,
                    call.statistics.running_var, call.weight, call.bias, call.residual, call.y, call.normalized, call.mask);
  }
};

/// The backward pass. With xhat = (x - mean) inv_std and g = dy, but with relu g = 0 where y <= 0:
///
///   dbias = sum g;  dweight = sum g xhat
///   dx = weight inv_std (g - 1/n dbias - 1/n xhat dweight)      if the statistics came from x (training)
///   dx = weight inv_std g                                       if they were given (evaluation)
///   dresidual = g
///
/// With dy2, the gradient is dy + dy2, rounded as op::Add does: the same bits as if it had been added before. For a call with a mask, with
/// dresidual and with one of the sums' results (dweight, dbias, or dx in training): the pass that finds the sums writes dresidual.
///
/// With index: dy (N,P,Q,C) is the gradient of BatchNormReluMaxPool2d's result, index its places, and g is the sum of dy of the windows
/// whose winner the element is, window by window, rounded to x's type: the same bits as by MaxPool2dBackward before. `relu` is then false,
/// and dresidual absent.
///
/// Each output may be absent and is then not computed. (C) views are f32 beside a half x.
struct BatchNormBackward {
  static constexpr std::string_view kName = "batch_norm_backward";
  using Forms = Operations<BatchNormAddRelu, ReluMask, BatchNormGradientSum, PooledGradient>;
  ConstView dy;
  ConstView dy2 = {};  // like dy, may be absent
  ConstView x, mean, inv_std, weight;
  ConstView y;     // if relu: either y,
  ConstView mask;  // or the mask that BatchNormApply left, one bit per element
  bool relu = false;
  bool training = true;
  View dx, dresidual;   // like x
  View dweight, dbias;  // (C)
  ConstView index = {};
  Pool2dSpec pool = {};
  static auto views(auto& call) {
    return std::tie(call.dy, call.dy2, call.x, call.mean, call.inv_std, call.weight, call.y, call.mask, call.dx, call.dresidual,
                    call.dweight, call.dbias, call.index);
  }
};

/// y (N,P,Q,C) = the largest of each window of max((x - mean) inv_std weight + bias, 0), x (N,H,W,C), as BatchNormApply with relu and
/// MaxPool2d give it, to the bit: values are rounded to x's type before the pool. Windows are 3 x 3, every 2 pixels, the padding 0 or 1.
/// index (u8, like y, or absent): the winner's place in its window, row * 3 + column; kNoPlace where y <= 0, so that no gradient passes
/// through the ReLU.
struct BatchNormReluMaxPool2d {
  static constexpr std::string_view kName = "batch_norm_relu_max_pool2d";
  static constexpr uint8_t kNoPlace = 255;
  static bool fits(const Pool2dSpec& spec) { return spec.window == 3 && spec.stride == 2 && spec.padding <= 1; }
  ConstView x, mean, inv_std, weight, bias;
  Pool2dSpec spec;
  View y, index;
  static auto views(auto& call) { return std::tie(call.x, call.mean, call.inv_std, call.weight, call.bias, call.y, call.index); }
};

/// A batch norm in evaluation, folded into the convolution (K,R,S,C) before it:
///
///   scale = weight / sqrt(running_var + eps);   folded_w[k] = w[k] scale[k];   folded_bias = bias + (conv_bias - running_mean) scale
///
/// All are f32, computed in f64 without a fused multiply-add and rounded once: the same bits as the engine's composed form, which runs on
/// the host and waits (fold_batch_norm in engine/ops/batch_norm.h).
struct FoldBatchNorm {
  static constexpr std::string_view kName = "fold_batch_norm";
  ConstView w;
  ConstView conv_bias;                                // (K), may be absent
  ConstView weight, bias, running_mean, running_var;  // (K)
  double eps = 1e-5;
  View folded_w, folded_bias;  // like w; (K)
  static auto views(auto& call) {
    return std::tie(call.w, call.conv_bias, call.weight, call.bias, call.running_mean, call.running_var, call.folded_w, call.folded_bias);
  }
};

inline bool BatchNormAddRelu::asked(const BatchNormApply& call) { return call.residual || call.relu; }
inline bool BatchNormAddRelu::asked(const BatchNormBackward& call) { return call.dresidual || call.relu; }
inline bool ReluMask::asked(const BatchNormApply& call) { return static_cast<bool>(call.mask); }
inline bool ReluMask::asked(const BatchNormBackward& call) { return call.relu && !call.y; }
inline bool BatchNormGradientSum::asked(const BatchNormBackward& call) { return static_cast<bool>(call.dy2); }
inline bool PooledGradient::asked(const BatchNormBackward& call) { return static_cast<bool>(call.index); }

}  // namespace mirilla::op
