// SPDX-License-Identifier: MIT
#include "kernels/cuda/ledger/formulas.h"

// PyTorch's formulas count whole tensors: n elements of s bytes. They follow the kernels of PyTorch 2.x, channels_last under autocast; a
// cache that holds a tensor between two kernels moves less.
namespace mirilla::simt::formulas {

namespace {

// 2 FLOP per element of y, per tap and channel.
double convolution(const View& y, const ConstView& w) {
  return w.shape[0] == 0 ? 0 : 2.0 * static_cast<double>(y.numel()) * static_cast<double>(w.numel() / w.shape[0]);
}

View shape_only(const ConstView& view) { return {nullptr, view.shape, view.dtype, view.present}; }
ConstView shape_only(const View& view) { return {nullptr, view.shape, view.dtype, 0, 0, view.present}; }

// The gradient of a pool's input of so many bytes.
Moves pool_back(const ConstView& dy, int64_t dx_bytes) {
  const int64_t n = dy.numel(), both = bytes_of(dy) + dx_bytes;
  return {0, both + 8 * n, both + n};
}

Moves everywhere(int64_t bytes) { return {bytes, bytes, bytes}; }

}  // namespace

double flop_of(const op::Conv2d& call) { return convolution(call.y, call.w); }
double flop_of(const op::Conv2dBiasAddRelu& call) { return convolution(call.y, call.w); }
double flop_of(const op::Conv2dBackwardData& call) { return convolution(shape_only(call.dy), call.w); }
double flop_of(const op::Conv2dBackwardWeight& call) { return convolution(shape_only(call.dy), shape_only(call.dw)); }
double flop_of(const op::Matmul& call) {
  return 2.0 * static_cast<double>(call.y.numel()) * static_cast<double>(call.a.shape[call.spec.transpose_a ? 0 : 1]);
}

// Of padded pictures the fourth channel is our own choice.
template <class Call>
int64_t once_without_padding(const Call& call, const ConstView& w) {
  const int64_t padding = call.x.shape[3] == w.shape[3] ? 0 : bytes_of(call.x) / call.x.shape[3] * (call.x.shape[3] - w.shape[3]);
  return once(call) - padding;
}

Moves moves_of(const op::Conv2d& call) { return everywhere(once_without_padding(call, call.w) - bytes_of(call.padded_w)); }

// Eager: the batch norm of evaluation, the sum and ReLU are kernels of their own, each of which reads and writes y.
Moves moves_of(const op::Conv2dBiasAddRelu& call) {
  const int64_t all = once_without_padding(call, call.w) - bytes_of(call.padded_w);
  const int64_t y = bytes_of(call.y), convolution_alone = all - bytes_of(call.residual);
  const int64_t apart = 2 * y + (call.residual ? 3 * y : 0) + (call.relu ? 2 * y : 0);
  const int64_t together = 2 * y + bytes_of(call.residual);  // cuDNN writes y, and one generated kernel does the rest
  return {all, convolution_alone + apart, convolution_alone + together};
}

Moves moves_of(const op::Conv2dBackwardData& call) { return everywhere(once(call)); }

// Under autocast the weights are cast before each forward pass, and the gradient, written in halves, is cast after it.
Moves moves_of(const op::Conv2dBackwardWeight& call) {
  const int64_t all = once_without_padding(call, shape_only(call.dw)), n = call.dw.numel(), read = all - bytes_of(call.dw);
  if (!is_half(call.x.dtype)) return everywhere(all);
  constexpr int64_t kHalf = 2, kFloat = 4, kCast = kHalf + kFloat;
  return {all, read + n * (kHalf + 2 * kCast), read + n * (kHalf + 2 * kCast)};
}

Moves moves_of(const op::Matmul& call) { return everywhere(once(call)); }

Moves moves_of(const op::BatchNormStatistics& call) { return {0, bytes_of(call.x), bytes_of(call.x)}; }

// Eager: normalise; then y += residual; then ReLU. Compiled: one kernel.
Moves moves_of(const op::BatchNormApply& call) {
  const int64_t n = bytes_of(call.x);
  return {0, 2 * n + (call.residual ? 3 * n : 0) + (call.relu ? 2 * n : 0), 2 * n + (call.residual ? n : 0)};
}

Moves moves_of(const op::BatchNorm& call) {
  const Moves statistics = moves_of(call.statistics), apply = moves_of(call.apply());
  return {0, statistics.eager + apply.eager, statistics.compiled + apply.compiled};
}

// Eager: ReLU's gradient from dy and y; the sums read the gradient and x; dx reads both again. Compiled: the sums from dy, x and y, then dx
// from the same, which also writes the residual's gradient. Two parts of dy are added as op::Add's are.
Moves moves_of(const op::BatchNormBackward& call) {
  const int64_t n = bytes_of(call.index ? call.x : call.dy), relu = call.relu || call.index ? 1 : 0, parts = call.dy2 ? 1 : 0;
  const Moves pool = call.index ? pool_back(call.dy, n) : Moves{};  // and of the pool before it
  return {0, 3 * n * relu + 5 * n + 3 * n * parts + pool.eager,
          2 * n + n * relu + (2 + relu + 1) * n + (call.dresidual ? n : 0) + n * parts + pool.compiled};
}

// Eager keeps an i64 per element of y, compiled one byte.
Moves moves_of(const op::MaxPool2d& call) {
  const int64_t n = call.y.numel(), both = bytes_of(call.x) + bytes_of(call.y);
  return {0, both + 8 * n, both + n};
}
Moves moves_of(const op::MaxPool2dBackward& call) { return pool_back(call.dy, bytes_of(call.dx)); }

// No compiler fuses these over a pool.
Moves moves_of(const op::BatchNormReluMaxPool2d& call) {
  const View activated{nullptr, call.x.shape, call.x.dtype, true};
  const Moves norm = moves_of(op::BatchNormApply{.x = call.x, .relu = true, .y = activated}),
              pool = moves_of(op::MaxPool2d{.x = activated, .spec = call.spec, .y = call.y, .index = call.index});
  return {0, norm.eager + pool.eager, norm.compiled + pool.compiled};
}

// Compiled: the next kernel reads both.
Moves moves_of(const op::Add& call) { return {0, once(call), bytes_of(call.b)}; }

// With its unscaling, which reads and writes each gradient.
Moves moves_of(const op::CheckFinite& call) {
  int64_t n = 0;
  for (const ConstView& gradient : call.gradients) n += gradient.numel();
  constexpr int64_t kMoved = 2 * 4;  // PyTorch's gradients are f32
  return {0, kMoved * n, kMoved * n};
}

// The fused optimizer, in both: reads parameter, gradient and moments, writes all but the gradient. Our copy in halves takes the place of
// autocast's casts.
Moves moves_of(const op::Adam& call) {
  int64_t n = 0, gradients_and_copies = 0;
  for (const AdamTensor& tensor : call.tensors) {
    n += tensor.parameter.numel();
    gradients_and_copies += bytes_of(tensor.gradient) + bytes_of(tensor.copy);
  }
  constexpr int64_t kMoved = 7 * 4, kBesideGradient = 6 * 4;
  return {kBesideGradient * n + gradients_and_copies, kMoved * n, kMoved * n};
}

// PyTorch is given the input ready made in the comparison.
Moves moves_of(const op::Augment& call) { return everywhere(once(call)); }

}  // namespace mirilla::simt::formulas
