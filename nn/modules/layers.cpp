// SPDX-License-Identifier: MIT
#include "nn/modules/layers.h"

#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"

namespace mirilla::nn {

Placement placement_of(const Module& model) {
  const std::vector<NamedTensor> parameters = model.parameters();
  if (parameters.empty()) throw Error("a model without parameters has no device");
  return {.device = parameters[0].tensor.device(), .dtype = parameters[0].tensor.dtype()};
}

Conv2d::Conv2d(const Spec& spec, Placement placement)
    : spec_(spec),
      weight_(add_parameter("weight", zeros({spec.out, spec.kernel, spec.kernel, spec.in}, placement.dtype, placement.device))) {
  if (spec.bias) bias_ = add_parameter("bias", zeros({spec.out}, placement.dtype, placement.device));
}

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight_, bias_, spec_.conv); }

BatchNorm::BatchNorm(int channels, Placement placement, double initial_bias) {
  state_.weight = add_parameter("weight", full({channels}, 1, placement.dtype, placement.device));
  state_.bias = add_parameter("bias", full({channels}, initial_bias, placement.dtype, placement.device));
  state_.running_mean = add_buffer("running_mean", zeros({channels}, placement.dtype, placement.device));
  state_.running_var = add_buffer(std::string(kRunningVariance), full({channels}, 1, placement.dtype, placement.device));
}

Tensor BatchNorm::forward(const Tensor& x) { return batch_norm(x, state_, training()); }

FoldedBatchNorm BatchNorm::folded_into(Conv2d& conv) {
  const std::lock_guard lock(folding_);
  std::vector<uint64_t> from;
  for (const Tensor* tensor :
       {static_cast<const Tensor*>(&conv.weight()), static_cast<const Tensor*>(&state_.weight), static_cast<const Tensor*>(&state_.bias),
        static_cast<const Tensor*>(&state_.running_mean), static_cast<const Tensor*>(&state_.running_var)}) {
    from.push_back(tensor->storage()->id());
    from.push_back(tensor->version());
  }
  if (!folded_ || from != folded_from_) {
    // A recording only notes the work: the values come with its first run, if it has one.
    if (conv.weight().device().recording()) return fold_batch_norm(conv.weight(), conv.bias(), state_);
    folded_ = fold_batch_norm(conv.weight(), conv.bias(), state_);
    folded_from_ = std::move(from);
  }
  return *folded_;
}

Linear::Linear(int in, int out, bool bias, Placement placement)
    : weight_(add_parameter("weight", zeros({out, in}, placement.dtype, placement.device))) {
  if (bias) bias_ = add_parameter("bias", zeros({out}, placement.dtype, placement.device));
}

Tensor Linear::forward(const Tensor& x) { return linear(x, weight_, bias_); }
Tensor ReLU::forward(const Tensor& x) { return relu(x); }
Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, spec_); }
Tensor AdaptiveAvgPool2d::forward(const Tensor& x) { return adaptive_avg_pool2d(x, 1, 1); }
Tensor AdaptiveConcatPool2d::forward(const Tensor& x) { return adaptive_concat_pool2d(x, 1, 1); }
Tensor Flatten::forward(const Tensor& x) { return flatten(x); }

Tensor Dropout::forward(const Tensor& x) { return training() ? dropout(x, {.p = p_, .key = key_}, step_) : x; }

void Dropout::on_step(const RandomStep& step, uint32_t ordinal) {
  key_ = {.seed = step.seed, .purpose = Purpose::kDropout, .step = step.number, .item = ordinal};
  step_ = step.place;
}

Tensor Sequential::run_from(size_t first, const Tensor& x) {
  Tensor y = x;
  for (size_t i = first; i < children().size(); ++i) {
    Module& module = *children()[i].module;
    auto* conv = dynamic_cast<Conv2d*>(&module);
    auto* norm = conv && i + 1 < children().size() ? dynamic_cast<BatchNorm*>(children()[i + 1].module.get()) : nullptr;
    if (!norm) {
      y = module(y);
      continue;
    }
    auto* relu = i + 2 < children().size() ? dynamic_cast<ReLU*>(children()[i + 2].module.get()) : nullptr;
    y = run_conv_norm(*conv, *norm, relu, y);
    i += relu ? 2 : 1;
  }
  return y;
}

Module::Rest Sequential::rest_after(std::string_view child) {
  for (size_t i = 0; i < children().size(); ++i)
    if (children()[i].name == child) return [this, i](const Tensor& output) { return run_from(i + 1, output); };
  return {};
}

std::optional<Module::Indexed> Sequential::indexed(std::span<const int> indices) const {
  const int count = static_cast<int>(children().size()), index = indices[0];
  if (index < -count || index >= count) return std::nullopt;
  return Indexed{.child = children()[static_cast<size_t>((index + count) % count)].name, .used = 1};
}

namespace {

// The norm's output, computed beside the folded operation: detached from x, whose gradient goes through the folded weights.
Tensor norm_seen_apart(Conv2d& conv, BatchNorm& norm, const Tensor& x) {
  if (!conv.watched() && !norm.watched()) return {};
  return norm(conv(x.detach()));
}

// In the check mode, for a folded operation's output: if it is not finite, the convolution and the norm run separately, and the first of
// them that writes such a number is named; the norm, if only the fused operation does.
void check_folded(Conv2d& conv, BatchNorm& norm, const Tensor& x, const Tensor& y) {
  if (y.device().recording() || !running::first_not_finite(y)) return;
  const Tensor inside = conv(x);
  norm(inside);
  Module::Run(norm, inside).wrote(y);
}

bool is_folded(Conv2d& conv, BatchNorm& norm) {
  const bool trains = tape::recording({conv.weight(), conv.bias(), norm.state().weight, norm.state().bias});
  // In the check mode each of them has an output to check, which a ReLU in the same operation might have hidden.
  const bool apart = running::checking() && !running::AsItRuns::on();
  return !norm.training() && !trains && !apart;
}

Tensor run_folded(Conv2d& conv, BatchNorm& norm, ReLU* relu, const Tensor& x, const Tensor& residual) {
  const FoldedBatchNorm folded = norm.folded_into(conv);
  const Tensor inside = norm_seen_apart(conv, norm, x);
  const Module::Run run(conv, x);
  Tensor y = conv2d_bias_add_relu(x, folded.w, folded.bias, residual, relu != nullptr, conv.spec().conv, inside);
  if (running::checking()) check_folded(conv, norm, x, y);
  if (relu) relu->observe(y);
  return y;
}

}  // namespace

Tensor run_conv_norm(Conv2d& conv, BatchNorm& norm, ReLU* relu, const Tensor& x, const Tensor& residual) {
  if (is_folded(conv, norm)) return run_folded(conv, norm, relu, x, residual);
  Tensor y = conv(x);
  if (!relu) {
    y = norm(y);
    return residual ? add(y, residual) : y;
  }
  const Module::Run run(norm, y);
  auto [activated, normalized] = batch_norm_add_relu(y, norm.state(), residual, norm.training(), norm.watched());
  run.wrote(activated);
  if (normalized) norm.observe(normalized);
  relu->observe(activated);
  return activated;
}

Tensor run_conv_norm_pool(Conv2d& conv, BatchNorm& norm, ReLU& relu, MaxPool2d& pool, const Tensor& x) {
  const bool seen = norm.watched() || relu.watched() || pool.watched() || running::checking();
  if (seen || is_folded(conv, norm)) return pool(run_conv_norm(conv, norm, &relu, x));
  const Tensor y = conv(x);
  const Module::Run run(norm, y);
  return batch_norm_relu_max_pool2d(y, norm.state(), pool.spec(), norm.training());
}

}  // namespace mirilla::nn
