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

void check_channels(const Tensor& x, const Tensor& w) {
  const int64_t channels = x.used_channels();
  if (channels != w.size(3))
    throw ShapeError(fmt::format("conv2d: the input {} has {} channels{} and the weights {} expect {}", to_string(x.shape()), channels,
                                 channels < x.size(3) ? " beside the padding" : "", to_string(w.shape()), w.size(3)),
                     "weights are (out, height, width, in); does an importer still have to permute them?");
  if (channels < x.size(3) && channels != kPictureChannels)
    throw ShapeError(fmt::format("conv2d: only pictures of {} channels may be padded, to {}, and {} of {} are used", kPictureChannels,
                                 kPaddedChannels, channels, x.size(3)));
  if (channels < x.size(3) && tape::recording({x}))
    throw ShapeError("conv2d: padded pictures have no gradient", "give the network pictures of three channels, as nn::prepare does");
}

Shape output_shape(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dSpec& spec) {
  check::rank("conv2d", x, 4, "pictures (N,H,W,C)");
  check::rank("conv2d", w, 4, "weights (K,R,S,C)");
  check::same_kind("conv2d", x, w);
  check_channels(x, w);
  if (spec.stride < 1 || spec.padding < 0 || spec.dilation < 1)
    throw ShapeError(fmt::format("conv2d: stride {}, padding {}, dilation {} are not possible", spec.stride, spec.padding, spec.dilation),
                     "stride and dilation must be at least 1, and padding at least 0");
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

// What the backward pass of a convolution needs. x only where w's gradient is wanted: a frozen convolution keeps
// only its weights.
struct SavedConvolution {
  SavedConvolution(const Tensor& input, const Tensor& weights, const Tensor& master, const Conv2dSpec& how)
      : x_shape(input.shape()), w(tape::save(weights)), parameters(master.dtype()), spec(how) {
    if (tape::recording({master})) x = tape::save(input);
  }

  tape::Gradients gradients(const Tensor& dy, bool needs_x, bool needs_w, bool needs_bias) const {
    Tensor dx, dw, dbias;
    if (needs_x) {
      dx = empty(x_shape, dy.dtype(), dy.device());
      dy.backend().run(op::Conv2dBackwardData{dy, w.get(), spec, dx});
    }
    if (needs_w) {
      dw = empty(w.get().shape(), gradient_type(dy), dy.device());
      dy.backend().run(op::Conv2dBackwardWeight{x.get(), dy, spec, dw});
    }
    if (needs_bias) {
      dbias = empty({dy.size(-1)}, is_half(dy.dtype()) ? DType::f32 : dy.dtype(), dy.device());
      dy.backend().run(op::SumRows{dy, dbias});
    }
    return {dx, dw, dbias};
  }

  // That of the parameters, unless the device would make halves and widen them: then these, which the tape and the optimizers take too.
  DType gradient_type(const Tensor& dy) const {
    const View wanted{.address = nullptr, .shape = w.get().shape(), .dtype = parameters, .present = true};
    const bool halves = is_half(dy.dtype()) && parameters == DType::f32 &&
                        dy.backend().rounds(op::Conv2dBackwardWeight{.x = x.get(), .dy = dy, .spec = spec, .dw = wanted});
    return halves ? dy.dtype() : parameters;
  }

  Shape x_shape;
  tape::Saved x, w;
  DType parameters;
  Conv2dSpec spec;
};

// As a library may want it beside padded pictures; no tensor where they are not, or the weights have no half copy.
Tensor padded_weight(const Tensor& x, const Tensor& w, const Tensor& master) {
  return x.size(3) != w.size(3) && master.dtype() != w.dtype() ? amp::padded_half_copy(master, w.dtype()) : Tensor();
}

// The operation in one pass, or composed.
Tensor fused_or_composed(const Tensor& x, const Tensor& w, const Tensor& padded_w, const Tensor& bias, const Tensor& residual,
                         bool with_relu, const Conv2dSpec& spec, Tensor y) {
  Backend& backend = x.backend();
  if (backend.has<op::Conv2dBiasAddRelu>()) {
    op::Conv2dBiasAddRelu call{
        .x = x, .w = w, .bias = bias, .residual = residual, .relu = with_relu, .spec = spec, .y = y, .padded_w = padded_w};
    const bool half_bias = bias && is_half(x.dtype()) && bias.dtype() == DType::f32 && backend.rounds(call);
    const Tensor kept = half_bias ? amp::half_copy(bias, x.dtype()) : bias;  // outlives the call
    call.bias = kept;
    backend.run(call);
    return y;
  }
  x.backend().run(op::Conv2d{x, w, bias, spec, y, padded_w});
  if (residual) y = add(y, residual.detach());  // y is not on the tape
  return with_relu ? relu(y) : y;
}

}  // namespace

Tensor conv2d(const Tensor& given, const Tensor& master, const Tensor& bias, const Conv2dSpec& spec) {
  const Tensor x = amp::input("conv2d", given), w = amp::weight("conv2d", master);
  Tensor y = empty(output_shape(x, w, bias, spec), x.dtype(), x.device());
  x.backend().run(op::Conv2d{x, w, bias, spec, y, padded_weight(x, w, master)});
  return tape::record(
      "conv2d", {x, master, bias}, y,
      [saved = SavedConvolution(x, w, master, spec), has_bias = static_cast<bool>(bias)](const Tensor& dy, const tape::Needs& needs) {
        return saved.gradients(dy, needs[0], needs[1], has_bias && needs[2]);
      });
}

Tensor conv2d_bias_add_relu(const Tensor& given, const Tensor& master, const Tensor& bias, const Tensor& given_residual, bool with_relu,
                            const Conv2dSpec& spec, const Tensor& inside) {
  constexpr std::string_view kName = "conv2d_bias_add_relu";
  const Tensor x = amp::input(kName, given), w = amp::weight(kName, master), residual = amp::input(kName, given_residual);
  const Shape shape = output_shape(x, w, bias, spec);
  if (residual) check::same_kind(kName, x, residual);
  if (residual && residual.shape() != shape)
    throw ShapeError(fmt::format("conv2d_bias_add_relu: the residual must be {} and is {}", to_string(shape), to_string(residual.shape())));
  const Tensor y =
      fused_or_composed(x, w, padded_weight(x, w, master), bias, residual, with_relu, spec, empty(shape, x.dtype(), x.device()));
  return tape::record(kName, {x, master, bias, residual, inside}, y,
                      [saved = SavedConvolution(x, w, master, spec), y = with_relu ? tape::save(y) : tape::Saved(),
                       has_bias = static_cast<bool>(bias)](const Tensor& dy, const tape::Needs& needs) {
                        Tensor dsum = dy;
                        if (y) {
                          dsum = empty_like(dy);
                          dy.backend().run(op::ReluBackward{arriving_at_relu(dy), y.get(), dsum});
                        }
                        tape::Gradients gradients = saved.gradients(dsum, needs[0], needs[1], has_bias && needs[2]);
                        gradients.push_back(dsum);
                        gradients.push_back(dsum);
                        return gradients;
                      });
}

}  // namespace mirilla
