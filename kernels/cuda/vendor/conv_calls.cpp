// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_calls.h"

#include "kernels/cuda/conv/channels.h"
#include "kernels/cuda/vendor/vendor.h"

// The convolutions of the table of operations, as a library is asked for them. Compiled for both sides of the platform.
namespace mirilla::MIRILLA_PLATFORM::vendor {

namespace {

// A copy with kFirstLayer channels, the added ones zero: products with zero add nothing to a sum.
struct PaddedCopy {
  PaddedCopy(Stream& stream, const void* from, const Shape& shape, DType dtype)
      : rows(shape[0] * shape[1] * shape[2]), memory(stream, static_cast<size_t>(rows * kFirstLayer) * size_of(dtype)) {
    copy_channels(stream, from, shape[3], memory.as<void>(), kFirstLayer, rows, dtype);
  }
  int64_t rows;
  Scratch memory;
};

bool run_forward(Stream& stream, const op::Conv2dBiasAddRelu& wanted) {
  std::optional<ConvCall> call = asks_cudnn(stream) ? forward_call(wanted) : std::nullopt;
  if (!call) return false;
  if (!call->first_layer) return run(stream, *call);
  if (!may_run(stream, call->problem)) return false;
  const DType dtype = call->problem.dtype;
  std::optional<PaddedCopy> x, w;
  if (!call->padded_x) call->buffers.x = x.emplace(stream, wanted.x.address, wanted.x.shape, dtype).memory.as<void>();
  if (!call->padded_w) call->buffers.w = w.emplace(stream, wanted.w.address, wanted.w.shape, dtype).memory.as<void>();
  return run(stream, *call);
}

}  // namespace

bool conv2d_forward(Stream& stream, const op::Conv2d& call) {
  return run_forward(stream, {.x = call.x,
                              .w = call.w,
                              .bias = call.bias,
                              .residual = {},
                              .relu = false,
                              .spec = call.spec,
                              .y = call.y,
                              .padded_w = call.padded_w});
}

bool conv2d_bias_add_relu(Stream& stream, const op::Conv2dBiasAddRelu& call) { return run_forward(stream, call); }

bool conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx) {
  const std::optional<ConvCall> call = asks_cudnn(stream) ? backward_data_call(dy, w, spec, dx) : std::nullopt;
  return call && run(stream, *call);
}

bool conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw) {
  std::optional<ConvCall> call = asks_cudnn(stream) ? backward_weight_call(x, dy, spec, dw) : std::nullopt;
  if (!call) return false;
  if (!call->first_layer) return run(stream, *call);
  const ConvProblem& problem = call->problem;
  if (!may_run(stream, problem)) return false;
  std::optional<PaddedCopy> wide;
  if (!call->padded_x) call->buffers.x = wide.emplace(stream, x.address, x.shape, problem.dtype).memory.as<void>();
  const Scratch gradient(stream, static_cast<size_t>(elements_written(problem)) * size_of(problem.result));
  call->buffers.w = gradient.as<void>();
  if (!run(stream, *call)) return false;
  copy_channels(stream, gradient.as<void>(), kFirstLayer, dw.address, dw.shape[3], dw.numel() / dw.shape[3], problem.result);
  return true;
}

bool rounds(Stream& stream, const op::Conv2dBackwardWeight& c) {
  const std::optional<ConvCall> call = asks_cudnn(stream) ? backward_weight_call(c.x, c.dy, c.spec, c.dw) : std::nullopt;
  return call && may_be_rounded(call->problem) && rounds(stream, call->problem);
}

bool rounds(Stream& stream, const op::Conv2dBiasAddRelu& c) {
  const std::optional<ConvCall> call = asks_cudnn(stream) ? forward_call(c) : std::nullopt;
  return call && may_be_rounded(call->problem) && rounds(stream, call->problem);
}

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
