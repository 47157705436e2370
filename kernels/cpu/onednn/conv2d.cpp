// SPDX-License-Identifier: MIT
// Weights are given in the layout that the primitive asks for. Activations stay in (N,H,W,C), on which oneDNN is as fast as on its
// own blocked layouts; the exception is worth_blocking().
#include <algorithm>
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn/state.h"

namespace mirilla::cpu {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

/// One convolution as oneDNN describes it: our layouts, and the layouts offered to oneDNN.
struct Problem {
  Desc x, w, y;                       // ours
  Desc x_choice, w_choice, y_choice;  // what oneDNN is asked for; it chooses the layout of w
  Desc bias;                          // empty where there is none
  dnnl::memory::dims stride, dilation, padding, padding_end;
  dnnl::primitive_attr attributes;
};

/// Many channels on few pixels: oneDNN's blocked kernels skip the padding, which is a third of the products of a 3x3 on 4x4 pixels, and its
/// kernels for (N,H,W,C) do not. Measured on ResNet18's last stage: forward and dx take 2/3 of the time, reorders included; with a single
/// picture the time goes into the weights and nothing is gained.
bool worth_blocking(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec) {
  if (dnnl::get_effective_cpu_isa() < dnnl::cpu_isa::avx512_core) return false;  // not measured
  return spec.stride == 1 && w[1] * w[2] > 1 && y[1] * y[2] <= 49 && x[0] >= 8 && w[0] >= 256 && w[3] >= 256 && w[0] % 16 == 0 &&
         w[3] % 16 == 0;
}

/// x, y as (N,H,W,C), w as (K,R,S,C); oneDNN names extents (N,C,H,W) and (O,I,H,W) and tells the order by a tag.
Problem problem_of(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec, bool blocking) {
  Problem p;
  p.x = Desc({x[0], x[3], x[1], x[2]}, kF32, Tag::nhwc);
  p.y = Desc({y[0], y[3], y[1], y[2]}, kF32, Tag::nhwc);
  const dnnl::memory::dims extents{w[0], w[3], w[1], w[2]};
  p.w = Desc(extents, kF32, Tag::ohwi);
  p.w_choice = Desc(extents, kF32, Tag::any);
  const bool blocked = blocking && worth_blocking(x, w, y, spec);
  p.x_choice = blocked ? Desc(p.x.get_dims(), kF32, Tag::nChw16c) : p.x;
  p.y_choice = blocked ? Desc(p.y.get_dims(), kF32, Tag::nChw16c) : p.y;
  p.stride = {spec.stride, spec.stride};
  p.dilation = {spec.dilation - 1, spec.dilation - 1};  // oneDNN counts the gaps between taps
  p.padding = {spec.padding, spec.padding};
  const auto end = [&](int64_t in, int64_t kernel, int64_t out) {  // padding at the end, for the output's extent; unused rows need none
    return (out - 1) * spec.stride + spec.dilation * (kernel - 1) + 1 - in - spec.padding;
  };
  p.padding_end = {end(x[1], w[1], y[1]), end(x[2], w[2], y[2])};
  p.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  p.attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);  // whatever ONEDNN_DEFAULT_FPMATH_MODE says, f32 stays f32
  return p;
}

Key key_of(Kind kind, const Shape& x, const Shape& w, const Conv2dSpec& spec, int64_t threads) {
  Key key;
  key.kind = kind;
  for (int d = 0; d < 4; ++d) {
    key.x[static_cast<size_t>(d)] = x[d];
    key.w[static_cast<size_t>(d)] = w[d];
  }
  key.stride = spec.stride;
  key.padding = spec.padding;
  key.dilation = spec.dilation;
  key.threads = threads;
  return key;
}

enum class Way { read, written };

Operand operand_of(const dnnl::engine& engine, const Desc& ours, const Desc& theirs, Way way) {
  Operand operand{.ours = ours, .theirs = theirs, .reorder = {}, .reordered = ours != theirs};
  if (!operand.reordered) return operand;
  const Desc& from = way == Way::read ? ours : theirs;
  const Desc& to = way == Way::read ? theirs : ours;
  operand.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine, from, engine, to));
  return operand;
}

dnnl::convolution_forward::primitive_desc forward_desc(const dnnl::engine& engine, const Problem& p) {
  return {engine,
          dnnl::prop_kind::forward_inference,
          dnnl::algorithm::convolution_auto,
          p.x_choice,
          p.w_choice,
          p.bias,
          p.y_choice,
          p.stride,
          p.dilation,
          p.padding,
          p.padding_end,
          p.attributes};
}

Operation make_forward(const dnnl::engine& engine, Problem p, const Key& key) {
  Operation operation;
  if (key.bias) p.bias = Desc({key.w[0]}, kF32, Tag::a);
  operation.adds_to_y = key.residual && p.y_choice != p.y;  // a blocked y: the residual is reordered into it first
  dnnl::post_ops after;
  if (operation.adds_to_y) {
    after.append_sum();
  } else if (key.residual) {
    after.append_binary(dnnl::algorithm::binary_add, p.y);
  }
  if (key.relu) after.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
  p.attributes.set_post_ops(after);
  const auto desc = forward_desc(engine, p);
  operation.primitive = dnnl::convolution_forward(desc);
  operation.x = operand_of(engine, p.x, desc.src_desc(), Way::read);
  operation.w = operand_of(engine, p.w, desc.weights_desc(), Way::read);
  operation.y = operand_of(engine, p.y, desc.dst_desc(), Way::written);
  operation.bias = p.bias;
  operation.scratchpad = desc.scratchpad_desc();
  if (operation.adds_to_y) operation.residual = dnnl::reorder(dnnl::reorder::primitive_desc(engine, p.y, engine, desc.dst_desc()));
  return operation;
}

Operation make_backward_data(const dnnl::engine& engine, const Problem& p) {
  const dnnl::convolution_backward_data::primitive_desc desc(engine, dnnl::algorithm::convolution_auto, p.x_choice, p.w_choice, p.y_choice,
                                                             p.stride, p.dilation, p.padding, p.padding_end, forward_desc(engine, p),
                                                             p.attributes);
  Operation operation;
  operation.primitive = dnnl::convolution_backward_data(desc);
  operation.x = operand_of(engine, p.x, desc.diff_src_desc(), Way::written);
  operation.w = operand_of(engine, p.w, desc.weights_desc(), Way::read);
  operation.y = operand_of(engine, p.y, desc.diff_dst_desc(), Way::read);
  operation.scratchpad = desc.scratchpad_desc();
  return operation;
}

Operation make_backward_weight(const dnnl::engine& engine, const Problem& p) {
  const dnnl::convolution_backward_weights::primitive_desc desc(engine, dnnl::algorithm::convolution_auto, p.x_choice, p.w_choice,
                                                                p.y_choice, p.stride, p.dilation, p.padding, p.padding_end,
                                                                forward_desc(engine, p), p.attributes);
  Operation operation;
  operation.primitive = dnnl::convolution_backward_weights(desc);
  operation.x = operand_of(engine, p.x, desc.src_desc(), Way::read);
  operation.w = operand_of(engine, p.w, desc.diff_weights_desc(), Way::written);
  operation.y = operand_of(engine, p.y, desc.diff_dst_desc(), Way::read);
  operation.scratchpad = desc.scratchpad_desc();
  return operation;
}

constexpr double kFarFromOverflow = 0x1p100;

/// Whether no sum of this call can be infinite or NaN, in whatever order and with whatever factors it is computed. oneDNN's ReLU is a
/// maximum that gives 0 for a NaN on x86, so it is used only then. The bound of the output is noted for the next convolution: x is read to
/// bound it only where nothing is known about it, or where the bounds of many layers have grown too large.
bool stays_finite(Magnitudes& magnitudes, const op::Conv2dBiasAddRelu& call) {
  const auto terms = static_cast<double>(call.w.numel() / std::max<int64_t>(1, call.w.shape[0]));
  const auto bound_by = [&](float (Magnitudes::*of)(const ConstView&)) {
    const auto each = [&](const ConstView& tensor) { return static_cast<double>((magnitudes.*of)(tensor)); };
    return 1.01 * (terms * each(call.w) * each(call.x) + each(call.bias) + each(call.residual));  // 1.01: allows for rounding
  };
  double bound = bound_by(&Magnitudes::bound);
  if (!(bound < kFarFromOverflow)) bound = bound_by(&Magnitudes::largest);
  if (!(bound < kFarFromOverflow)) return false;  // or NaN
  magnitudes.note(call.y, bound);
  return true;
}

/// y = max(y, 0), NaN stays NaN.
void relu_in_place(const View& y) {
  auto* const values = y.data<float>();
  const auto kernel = loops().relu;
  parallel_shares(y.numel(), kGrain, [&](int64_t i, int64_t end) { kernel(values + i, values + i, end - i); });
}

}  // namespace

void Products::conv2d(const op::Conv2dBiasAddRelu& call) {
  if (call.y.numel() == 0) return;
  state_->run("conv2d", [&](State& s, int threads) {
    Key key = key_of(Kind::forward, call.x.shape, call.w.shape, call.spec, threads);
    key.bias = call.bias.present;
    key.residual = call.residual.present;
    // Without a ReLU only the bound is of use, for a residual block, and only where it costs nothing.
    const bool wanted = call.relu || (s.magnitudes.knows(call.x) && s.magnitudes.knows(call.residual));
    key.relu = wanted && stays_finite(s.magnitudes, call) && call.relu;
    const Operation& op = s.operation(
        key, [&] { return make_forward(s.engine, problem_of(call.x.shape, call.w.shape, call.y.shape, call.spec, true), key); });
    const dnnl::memory y = s.room(op.y, call.y.address, s.y_scratch);
    Arguments arguments{
        {DNNL_ARG_SRC, s.put(op.x, call.x.address, s.x_scratch)}, {DNNL_ARG_WEIGHTS, s.weights(op.w, call.w)}, {DNNL_ARG_DST, y}};
    if (call.bias) arguments.emplace(DNNL_ARG_BIAS, s.view(op.bias, call.bias.address));
    if (op.adds_to_y) {
      dnnl::memory from = s.view(op.y.ours, call.residual.address), to = y;
      op.residual.execute(s.stream, from, to);
    } else if (call.residual) {
      arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, s.view(op.y.ours, call.residual.address));
    }
    s.execute(op, std::move(arguments));
    s.fetch(op.y, y, call.y.address);
    if (call.relu && !key.relu) relu_in_place(call.y);
  });
}

void Products::conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) {
  if (dx.numel() == 0) return;
  state_->run("conv2d_backward_data", [&](State& s, int threads) {
    const Key key = key_of(Kind::backward_data, dx.shape, w.shape, spec, threads);
    const Operation& op =
        s.operation(key, [&] { return make_backward_data(s.engine, problem_of(dx.shape, w.shape, dy.shape, spec, true)); });
    const dnnl::memory to = s.room(op.x, dx.address, s.x_scratch);
    s.execute(op,
              {{DNNL_ARG_DIFF_DST, s.put(op.y, dy.address, s.y_scratch)}, {DNNL_ARG_WEIGHTS, s.weights(op.w, w)}, {DNNL_ARG_DIFF_SRC, to}});
    s.fetch(op.x, to, dx.address);
  });
}

void Products::conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) {
  if (x.numel() == 0 || dy.numel() == 0) {  // an empty batch: no terms in the sum
    if (dw.numel() > 0) std::memset(dw.address, 0, static_cast<size_t>(dw.numel()) * sizeof(float));
    return;
  }
  state_->run("conv2d_backward_weight", [&](State& s, int threads) {
    const Key key = key_of(Kind::backward_weight, x.shape, dw.shape, spec, threads);
    const Operation& op =
        s.operation(key, [&] { return make_backward_weight(s.engine, problem_of(x.shape, dw.shape, dy.shape, spec, false)); });
    const dnnl::memory to = s.room(op.w, dw.address, s.w_scratch);
    s.execute(op, {{DNNL_ARG_SRC, s.put(op.x, x.address, s.x_scratch)},
                   {DNNL_ARG_DIFF_DST, s.put(op.y, dy.address, s.y_scratch)},
                   {DNNL_ARG_DIFF_WEIGHTS, to}});
    s.fetch(op.w, to, dw.address);
  });
}

}  // namespace mirilla::cpu
