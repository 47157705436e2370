// SPDX-License-Identifier: MIT
// Activations stay as they lie, (N,H,W,C): oneDNN is as fast on them as on its own blocked layouts. Weights go in the layout that
// the primitive asks for.
#include <cstring>

#include "kernels/cpu/onednn/state.h"

namespace mirilla::cpu {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

/// One convolution as oneDNN describes it.
struct Problem {
  Desc x, w, y;        // w in any layout
  Desc w_plain, bias;  // bias is empty where there is none
  dnnl::memory::dims stride, dilation, padding, padding_end;
  dnnl::primitive_attr attributes;
};

/// x, y as (N,H,W,C), w as (K,R,S,C); oneDNN names extents (N,C,H,W) and (O,I,H,W) and tells the order by a tag.
Problem problem_of(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec) {
  Problem p;
  p.x = Desc({x[0], x[3], x[1], x[2]}, kF32, Tag::nhwc);
  p.y = Desc({y[0], y[3], y[1], y[2]}, kF32, Tag::nhwc);
  const dnnl::memory::dims extents{w[0], w[3], w[1], w[2]};
  p.w = Desc(extents, kF32, Tag::any);
  p.w_plain = Desc(extents, kF32, Tag::ohwi);
  p.stride = {spec.stride, spec.stride};
  p.dilation = {spec.dilation - 1, spec.dilation - 1};  // oneDNN counts the gaps
  p.padding = {spec.padding, spec.padding};
  const auto end = [&](int64_t in, int64_t kernel, int64_t out) {  // what makes the output's extent come out; rows left over need none
    return (out - 1) * spec.stride + spec.dilation * (kernel - 1) + 1 - in - spec.padding;
  };
  p.padding_end = {end(x[1], w[1], y[1]), end(x[2], w[2], y[2])};
  p.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
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

/// From our layout to theirs, or back for a gradient.
void add_reorder(Operation& operation, const dnnl::engine& engine, const Desc& plain, bool back) {
  operation.plain_weights = plain;
  operation.reordered = operation.weights != plain;
  if (!operation.reordered) return;
  const Desc& from = back ? operation.weights : plain;
  const Desc& to = back ? plain : operation.weights;
  operation.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine, from, engine, to));
}

dnnl::convolution_forward::primitive_desc forward_desc(const dnnl::engine& engine, const Problem& p) {
  return {engine,
          dnnl::prop_kind::forward_inference,
          dnnl::algorithm::convolution_auto,
          p.x,
          p.w,
          p.bias,
          p.y,
          p.stride,
          p.dilation,
          p.padding,
          p.padding_end,
          p.attributes};
}

Operation make_forward(const dnnl::engine& engine, Problem p, const Key& key) {
  if (key.bias) p.bias = Desc({key.w[0]}, kF32, Tag::a);
  dnnl::post_ops after;
  if (key.residual) after.append_binary(dnnl::algorithm::binary_add, p.y);
  if (key.relu) after.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
  p.attributes.set_post_ops(after);
  const auto desc = forward_desc(engine, p);
  Operation operation{.primitive = dnnl::convolution_forward(desc),
                      .source = p.x,
                      .weights = desc.weights_desc(),
                      .bias = p.bias,
                      .destination = p.y,
                      .scratchpad = desc.scratchpad_desc(),
                      .plain_weights = {},
                      .reorder = {},
                      .reordered = false};
  add_reorder(operation, engine, p.w_plain, false);
  return operation;
}

Operation make_backward_data(const dnnl::engine& engine, const Problem& p) {
  const dnnl::convolution_backward_data::primitive_desc desc(engine, dnnl::algorithm::convolution_auto, p.x, p.w, p.y, p.stride, p.dilation,
                                                             p.padding, p.padding_end, forward_desc(engine, p), p.attributes);
  Operation operation{.primitive = dnnl::convolution_backward_data(desc),
                      .source = p.x,
                      .weights = desc.weights_desc(),
                      .bias = {},
                      .destination = p.y,
                      .scratchpad = desc.scratchpad_desc(),
                      .plain_weights = {},
                      .reorder = {},
                      .reordered = false};
  add_reorder(operation, engine, p.w_plain, false);
  return operation;
}

Operation make_backward_weight(const dnnl::engine& engine, const Problem& p) {
  const dnnl::convolution_backward_weights::primitive_desc desc(engine, dnnl::algorithm::convolution_auto, p.x, p.w, p.y, p.stride,
                                                                p.dilation, p.padding, p.padding_end, forward_desc(engine, p),
                                                                p.attributes);
  Operation operation{.primitive = dnnl::convolution_backward_weights(desc),
                      .source = p.x,
                      .weights = desc.diff_weights_desc(),
                      .bias = {},
                      .destination = p.y,
                      .scratchpad = desc.scratchpad_desc(),
                      .plain_weights = {},
                      .reorder = {},
                      .reordered = false};
  add_reorder(operation, engine, p.w_plain, true);
  return operation;
}

}  // namespace

void Products::conv2d(const Conv2dBiasAddRelu& call) {
  if (call.y.numel() == 0) return;
  with_onednn("conv2d", [&] {
    State& s = *state_;
    Key key = key_of(Kind::forward, call.x.shape, call.w.shape, call.spec, use_host_threads());
    key.bias = call.bias.present;
    key.residual = call.residual.present;
    key.relu = call.relu;
    const Operation& op =
        s.operation(key, [&] { return make_forward(s.engine, problem_of(call.x.shape, call.w.shape, call.y.shape, call.spec), key); });
    Arguments arguments{{DNNL_ARG_SRC, s.view(op.source, call.x.address)},
                        {DNNL_ARG_WEIGHTS, s.weights(op, call.w)},
                        {DNNL_ARG_DST, s.view(op.destination, call.y.address)}};
    if (call.bias) arguments.emplace(DNNL_ARG_BIAS, s.view(op.bias, call.bias.address));
    if (call.residual) {
      arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, s.view(op.destination, call.residual.address));
    }
    s.execute(op, std::move(arguments));
  });
}

void Products::conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) {
  if (dx.numel() == 0) return;
  with_onednn("conv2d_backward_data", [&] {
    State& s = *state_;
    const Key key = key_of(Kind::backward_data, dx.shape, w.shape, spec, use_host_threads());
    const Operation& op = s.operation(key, [&] { return make_backward_data(s.engine, problem_of(dx.shape, w.shape, dy.shape, spec)); });
    s.execute(op, {{DNNL_ARG_DIFF_DST, s.view(op.destination, dy.address)},
                   {DNNL_ARG_WEIGHTS, s.weights(op, w)},
                   {DNNL_ARG_DIFF_SRC, s.view(op.source, dx.address)}});
  });
}

void Products::conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) {
  if (x.numel() == 0 || dy.numel() == 0) {  // an empty batch: no terms in the sum
    if (dw.numel() > 0) std::memset(dw.address, 0, static_cast<size_t>(dw.numel()) * sizeof(float));
    return;
  }
  with_onednn("conv2d_backward_weight", [&] {
    State& s = *state_;
    const Key key = key_of(Kind::backward_weight, x.shape, dw.shape, spec, use_host_threads());
    const Operation& op = s.operation(key, [&] { return make_backward_weight(s.engine, problem_of(x.shape, dw.shape, dy.shape, spec)); });
    dnnl::memory ours = s.view(op.plain_weights, dw.address);
    dnnl::memory theirs = op.reordered ? s.view(op.weights, s.reordered.get(op.weights.get_size())) : ours;
    s.execute(op, {{DNNL_ARG_SRC, s.view(op.source, x.address)},
                   {DNNL_ARG_DIFF_DST, s.view(op.destination, dy.address)},
                   {DNNL_ARG_DIFF_WEIGHTS, theirs}});
    if (!op.reordered) return;
    op.reorder.execute(s.stream, theirs, ours);
    s.stream.wait();
  });
}

}  // namespace mirilla::cpu
