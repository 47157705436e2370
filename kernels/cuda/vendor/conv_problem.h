// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/core/backend.h"

namespace mirilla::cuda::vendor {

/// Which of a convolution's three tensors is written. The other two are read.
enum class ConvKind : uint8_t { forward, backward_data, backward_weight };

/// One convolution as described to a library: x (n,h,w,c), weights (k,r,s,c), y (n,p,q,k), all dense. Equal problems share a plan.
struct ConvProblem {
  ConvKind kind = ConvKind::forward;
  DType dtype = DType::f16;   // of the tensors that are read
  DType result = DType::f16;  // of the tensor that is written: dtype, or f32 for weights' gradients
  int64_t n = 0, h = 0, w = 0, c = 0;
  int64_t k = 0, r = 0, s = 0;
  int64_t p = 0, q = 0;
  Conv2dSpec spec;

  // Forward only: y = max(conv2d(max(scale x + shift, 0), weights) + residual + bias, 0), each part where requested, and the sums of y.
  bool scale_shift_relu = false;  // scale, shift (c), like x
  bool bias = false;
  DType bias_dtype = DType::f32;
  bool residual = false;  // like y
  bool relu = false;
  bool sums = false;  // sum y, sum y^2 (k), f32

  bool operator==(const ConvProblem&) const = default;
};

/// "forward f16 (128,32,32,64) * (64,3,3,64) stride 1 padding 1 dilation 1 + bias f32 + residual, relu": for messages, and the key of a
/// plan.
std::string to_string(const ConvProblem& problem);

/// The addresses of a problem's tensors. x, w and y are the tensors themselves or their gradients.
struct ConvBuffers {
  void *x = nullptr, *w = nullptr, *y = nullptr;
  void *bias = nullptr, *residual = nullptr;
  void *scale = nullptr, *shift = nullptr;
  void *sum = nullptr, *squares = nullptr;
  bool in_halves = false;  // of a problem that may_be_rounded, for a plan that rounds: what it would convert is in halves

  void*& written(ConvKind kind) { return kind == ConvKind::forward ? y : kind == ConvKind::backward_data ? x : w; }
};

struct HashOfProblem {
  size_t operator()(const ConvProblem& problem) const noexcept;
};

/// Whether a plan that works in halves throughout may stand in: from halves, with an f32 gradient of weights that is widened afterwards, or
/// an f32 bias that is rounded before.
bool may_be_rounded(const ConvProblem& problem);
/// The problem in halves throughout; and the inverse, with the f32 that may_be_rounded is about.
ConvProblem in_halves(ConvProblem problem);
ConvProblem with_f32_ends(ConvProblem problem);

/// The number of elements of the tensor that is written.
int64_t elements_written(const ConvProblem& problem);

/// Empty, or why cuDNN is not asked: a dtype it is not used for, channels that are not a multiple of 8 (4 for f32 inputs), an empty tensor.
std::string declined(const ConvProblem& problem);

/// A call of the table of operations as a problem.
struct ConvCall {
  ConvProblem problem;
  ConvBuffers buffers;
  /// Weights of less than kFirstLayer channels: problem.c is kFirstLayer, and the caller replaces the buffers x and w by tensors with zeros
  /// in the added channels, which it makes; a gradient of the weights keeps the original channels. Padded pictures and weights that the
  /// call brings are taken as they are.
  bool first_layer = false;
  bool padded_x = false, padded_w = false;  // these came with the call
};
inline constexpr int64_t kFirstLayer = 4;  // 8 bytes, for which cuDNN has special kernels

/// Empty where cuDNN is not asked: see declined(), and also where an address is not a multiple of 16.
std::optional<ConvCall> forward_call(const op::Conv2dBiasAddRelu& call);
std::optional<ConvCall> backward_data_call(const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx);
std::optional<ConvCall> backward_weight_call(const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw);

}  // namespace mirilla::cuda::vendor
