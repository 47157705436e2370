// SPDX-License-Identifier: MIT
#include "engine/ops/conv2d.h"

#include "engine/amp/autocast.h"
#include "engine/ops/add.h"
#include "engine/ops/check.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

int64_t extent_after(int64_t in, int64_t kernel, const Conv2dSpec& spec) {
  return (in + 2 * spec.padding - spec.dilation * (kernel - 1) - 1) / spec.stride + 1;
}

Shape output_shape(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dSpec& spec) {
  check::rank("conv2d", x, 4, "pictures (N,H,W,C)");
  check::rank("conv2d", w, 4, "weights (K,R,S,C)");
  check::same_kind("conv2d", x, w);
  if (x.size(3) != w.size(3))
    throw ShapeError(fmt::format("conv2d: the input {} has {} channels and the weights {} want {}", to_string(x.shape()), x.size(3),
                                 to_string(w.shape()), w.size(3)),
                     "weights are (out, height, width, in); does an importer still have to permute them?");
  if (spec.stride < 1 || spec.padding < 0 || spec.dilation < 1)
    throw ShapeError(fmt::format("conv2d: stride {}, padding {}, dilation {} make no sense", spec.stride, spec.padding, spec.dilation));
  if (bias) {
    check::parameter_of("conv2d", "the bias", x, bias);
    check::vector_of("conv2d", "the bias", bias, w.size(0));
  }
  const int64_t reach_h = spec.dilation * (w.size(1) - 1) + 1, reach_w = spec.dilation * (w.size(2) - 1) + 1;
  if (x.size(1) + 2 * spec.padding < reach_h || x.size(2) + 2 * spec.padding < reach_w)
    throw ShapeError(fmt::format("conv2d: the input {} with padding {} is smaller than the window {}x{}", to_string(x.shape()),
                                 spec.padding, reach_h, reach_w),
                     "larger pictures, or fewer strides before this layer");
  return {x.size(0), extent_after(x.size(1), w.size(1), spec), extent_after(x.size(2), w.size(2), spec), w.size(0)};
}

}  // namespace

Tensor conv2d(const Tensor& given, const Tensor& master, const Tensor& bias, const Conv2dSpec& spec) {
  const Tensor x = amp::input("conv2d", given), w = amp::weight("conv2d", master);
  Tensor y = empty(output_shape(x, w, bias, spec), x.dtype(), x.device());
  x.backend().conv2d(x, w, bias, spec, y);
  return tape::record("conv2d", {x, master, bias}, y,
                      [x = tape::save(x), w = tape::save(w), spec, dtype = master.dtype(), has_bias = static_cast<bool>(bias)](
                          const Tensor& dy, const tape::Needs& needs) {
                        Tensor dx, dw, dbias;
                        if (needs[0]) {
                          dx = empty_like(x.get());
                          dy.backend().conv2d_backward_data(dy, w.get(), spec, dx);
                        }
                        if (needs[1]) {
                          dw = empty(w.get().shape(), dtype, dy.device());
                          dy.backend().conv2d_backward_weight(x.get(), dy, spec, dw);
                        }
                        if (has_bias && needs[2]) {
                          dbias = empty({dy.size(-1)}, is_half(dy.dtype()) ? DType::f32 : dy.dtype(), dy.device());
                          dy.backend().sum_rows(dy, dbias);
                        }
                        return tape::Gradients{dx, dw, dbias};
                      });
}

Tensor conv2d_bias_add_relu(const Tensor& given, const Tensor& master, const Tensor& bias, const Tensor& given_residual, bool with_relu,
                            const Conv2dSpec& spec) {
  constexpr std::string_view kName = "conv2d_bias_add_relu";
  if (tape::recording({given, master, bias, given_residual}))
    throw Error("conv2d_bias_add_relu is for inference and a gradient would be needed here", "run conv2d, batch_norm_add_relu instead");
  const Tensor x = amp::input(kName, given), w = amp::weight(kName, master), residual = amp::input(kName, given_residual);
  const Shape shape = output_shape(x, w, bias, spec);
  if (residual) check::same_kind(kName, x, residual);
  if (residual && residual.shape() != shape)
    throw ShapeError(fmt::format("conv2d_bias_add_relu: the residual must be {} and is {}", to_string(shape), to_string(residual.shape())));
  if (x.backend().has(Fused::conv2d_bias_add_relu)) {
    Tensor y = empty(shape, x.dtype(), x.device());
    x.backend().conv2d_bias_add_relu({.x = x, .w = w, .bias = bias, .residual = residual, .relu = with_relu, .spec = spec, .y = y});
    return y;
  }
  Tensor y = conv2d(x, w, bias, spec);
  if (residual) y = add(y, residual);
  return with_relu ? relu(y) : y;
}

}  // namespace mirilla
