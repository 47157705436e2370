// SPDX-License-Identifier: MIT
#include "engine/ops/batch_norm.h"

#include <cmath>

#include "engine/ops/add.h"
#include "engine/ops/check.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

struct Statistics {
  Tensor mean, inv_std;  // (C)
};

void check_state(const Tensor& x, const BatchNormState& state, bool training) {
  if (x.shape().rank() < 2) throw ShapeError(fmt::format("batch_norm: expects (N,H,W,C) or (N,C) and got {}", to_string(x.shape())));
  const int64_t channels = x.size(-1);
  const auto check_one = [&](std::string_view name, const Tensor& tensor) {
    check::vector_of("batch_norm", name, tensor, channels);
    check::parameter_of("batch_norm", name, x, tensor);
  };
  check_one("the weight", state.weight);
  check_one("the bias", state.bias);
  check_one("the running mean", state.running_mean);
  check_one("the running variance", state.running_var);
  if (training && channels > 0 && x.numel() / channels == 1)
    throw ShapeError(fmt::format("batch_norm: training needs more than one value per channel and {} has one", to_string(x.shape())),
                     "use a batch of at least 2, or evaluation mode");
}

// 1 / sqrt(var + eps) of C numbers, for evaluation; on the host, so that devices need no operation for it. Reading the variance waits
// for the device, so it is done once for each version of it.
Tensor evaluation_inv_std(BatchNormState& state) {
  const Tensor& var = state.running_var;
  BatchNormState::Evaluation& kept = state.evaluation;
  if (kept.inv_std && kept.storage_id == var.storage()->id() && kept.version == var.version() && kept.eps == state.eps &&
      kept.inv_std.shape() == var.shape())
    return kept.inv_std;
  kept = {.storage_id = var.storage()->id(), .version = var.version(), .eps = state.eps};
  std::vector<double> inv_std = var.to_doubles();
  for (double& value : inv_std) value = 1 / std::sqrt(value + state.eps);
  dispatch_real(var.dtype(), "batch_norm",
                [&]<class T>() { kept.inv_std = from_host(std::vector<T>(inv_std.begin(), inv_std.end()), var.shape(), var.device()); });
  return kept.inv_std;
}

// The running statistics in evaluation, else room for the batch's.
Statistics statistics_for(BatchNormState& state, bool training) {
  if (training) return {empty_like(state.running_mean), empty_like(state.running_var)};
  return {state.running_mean.clone(), evaluation_inv_std(state)};
}

op::BatchNormStatistics finding(const Tensor& x, BatchNormState& state, Statistics& statistics) {
  return {.x = x,
          .eps = state.eps,
          .momentum = state.momentum,
          .mean = statistics.mean,
          .inv_std = statistics.inv_std,
          .running_mean = state.running_mean,
          .running_var = state.running_var};
}

Statistics statistics_of(const Tensor& x, BatchNormState& state, bool training) {
  Statistics statistics = statistics_for(state, training);
  if (training) x.backend().run(finding(x, state, statistics));
  return statistics;
}

// Runs the call with the batch's statistics, or in evaluation with the running ones, and returns them. The call is complete but for x,
// the statistics and the parameters.
Statistics apply(const Tensor& x, BatchNormState& state, bool training, op::BatchNormApply call) {
  Backend& backend = x.backend();
  const bool at_once = training && backend.has<op::BatchNorm>();
  Statistics statistics = at_once ? statistics_for(state, training) : statistics_of(x, state, training);
  call.x = x, call.weight = state.weight, call.bias = state.bias;
  call.mean = statistics.mean, call.inv_std = statistics.inv_std;
  if (at_once)
    backend.run(op::BatchNorm{.statistics = finding(x, state, statistics),
                              .weight = state.weight,
                              .bias = state.bias,
                              .residual = call.residual,
                              .relu = call.relu,
                              .y = call.y,
                              .normalized = call.normalized,
                              .mask = call.mask});
  else
    backend.run(call);
  return statistics;
}

struct ParameterGradients {
  Tensor weight, bias;
};

ParameterGradients room_for(const Tensor& like, const tape::Needs& needs, size_t weight, size_t bias) {
  return {needs[weight] ? empty_like(like) : Tensor(), needs[bias] ? empty_like(like) : Tensor()};
}

// What the backward pass needs to know where the ReLU let values pass: one bit per element if the device can write them, which is less to
// read twice than y and does not keep y alive (the next convolution does that only if its weights train); else y.
struct SavedActivity {
  tape::Saved y;
  Tensor mask;
};

Tensor room_for_mask(const Tensor& x, const BatchNormState& state, const Tensor& residual, bool observe) {
  constexpr int64_t kBits = 8;
  const bool wanted = observe || tape::recording({x, residual, state.weight, state.bias});
  if (!wanted || !x.backend().has<op::ReluMask>()) return {};
  return empty({(x.numel() + kBits - 1) / kBits}, DType::u8, x.device());
}

// The parts of a gradient that the norm's backward is given: two where it adds them itself, in the pass that finds its sums.
tape::Arriving parts_for(tape::Arriving dy, bool apart) {
  if (apart && dy.second && !relus_are_guided()) return dy;
  return {arriving_at_relu(std::move(dy).sum()), {}};
}

// The fused form: one pass forward, one reduction and one pass backward.
BatchNormAddReluResult fused(const Tensor& x, BatchNormState& state, const Tensor& residual, bool training, bool observe) {
  Tensor y = empty_like(x);
  Tensor normalized = observe ? empty_like(x) : Tensor();
  Tensor mask = room_for_mask(x, state, residual, observe);
  const Statistics statistics =
      apply(x, state, training, {.residual = residual, .relu = true, .y = y, .normalized = normalized, .mask = mask});
  // The observed value is an input of the node: its gradient is that of the sum, which is also the residual's.
  if (normalized) tape::keep_gradient(normalized);
  auto backward = [x = tape::save(x), active = SavedActivity{mask ? tape::Saved() : tape::save(y), mask}, mean = statistics.mean,
                   inv_std = statistics.inv_std, weight = tape::save(state.weight),
                   training](tape::Arriving arriving, const tape::Needs& needs) {
    const bool sums = needs[2] || needs[3] || (training && needs[0]);
    const bool apart = sums && active.mask && active.mask.backend().has<op::BatchNormGradientSum>();
    const auto [dy, dy2] = parts_for(std::move(arriving), apart);
    Tensor dx = needs[0] ? empty_like(dy) : Tensor();
    Tensor dsum = needs[1] || needs[4] || dy2 ? empty_like(dy) : Tensor();
    auto [dweight, dbias] = room_for(weight.get(), needs, 2, 3);
    dy.backend().run(op::BatchNormBackward{.dy = dy,
                                           .dy2 = dy2,
                                           .x = x.get(),
                                           .mean = mean,
                                           .inv_std = inv_std,
                                           .weight = weight.get(),
                                           .y = active.y.get(),
                                           .mask = active.mask,
                                           .relu = true,
                                           .training = training,
                                           .dx = dx,
                                           .dresidual = dsum,
                                           .dweight = dweight,
                                           .dbias = dbias});
    return tape::Gradients{dx, dsum, dweight, dbias, dsum};
  };
  y = tape::record("batch_norm_add_relu", {x, residual, state.weight, state.bias, normalized}, y, std::move(backward));
  return {y, normalized};
}

}  // namespace

Tensor batch_norm(const Tensor& x, BatchNormState& state, bool training) {
  check_state(x, state, training);
  Tensor y = empty_like(x);
  const Statistics statistics = apply(x, state, training, {.y = y});
  return tape::record("batch_norm", {x, state.weight, state.bias}, y,
                      [x = tape::save(x), mean = statistics.mean, inv_std = statistics.inv_std, weight = tape::save(state.weight),
                       training](const Tensor& dy, const tape::Needs& needs) {
                        Tensor dx = needs[0] ? empty_like(dy) : Tensor();
                        auto [dweight, dbias] = room_for(weight.get(), needs, 1, 2);
                        dy.backend().run(op::BatchNormBackward{.dy = dy,
                                                               .x = x.get(),
                                                               .mean = mean,
                                                               .inv_std = inv_std,
                                                               .weight = weight.get(),
                                                               .training = training,
                                                               .dx = dx,
                                                               .dweight = dweight,
                                                               .dbias = dbias});
                        return tape::Gradients{dx, dweight, dbias};
                      });
}

BatchNormAddReluResult batch_norm_add_relu(const Tensor& x, BatchNormState& state, const Tensor& residual, bool training, bool observe) {
  check_state(x, state, training);
  if (residual) check::same("batch_norm_add_relu", x, residual);
  if (x.backend().has<op::BatchNormAddRelu>()) return fused(x, state, residual, training, observe);
  Tensor normalized = batch_norm(x, state, training);
  if (observe) tape::keep_gradient(normalized);
  return {relu(residual ? add(normalized, residual) : normalized), observe ? normalized : Tensor()};
}

namespace {

Tensor fused_with_pool(const Tensor& x, BatchNormState& state, const Pool2dSpec& spec, bool training) {
  const Shape shape = pooled_shape(x, spec);
  const Statistics statistics = statistics_of(x, state, training);
  Tensor y = empty(shape, x.dtype(), x.device());
  Tensor index = tape::recording({x, state.weight, state.bias}) ? empty(shape, DType::u8, x.device()) : Tensor();
  x.backend().run(op::BatchNormReluMaxPool2d{.x = x,
                                             .mean = statistics.mean,
                                             .inv_std = statistics.inv_std,
                                             .weight = state.weight,
                                             .bias = state.bias,
                                             .spec = spec,
                                             .y = y,
                                             .index = index});
  auto backward = [x = tape::save(x), index, spec, mean = statistics.mean, inv_std = statistics.inv_std, weight = tape::save(state.weight),
                   training](const Tensor& dy, const tape::Needs& needs) {
    Tensor dx = needs[0] ? empty_like(x.get()) : Tensor();
    auto [dweight, dbias] = room_for(weight.get(), needs, 1, 2);
    op::BatchNormBackward call{.dy = dy,
                               .x = x.get(),
                               .mean = mean,
                               .inv_std = inv_std,
                               .weight = weight.get(),
                               .training = training,
                               .dx = dx,
                               .dweight = dweight,
                               .dbias = dbias,
                               .index = index,
                               .pool = spec};
    Tensor at_relu;  // of a guided ReLU, which looks at the sums of the windows' gradients
    if (relus_are_guided()) {
      at_relu = empty_like(x.get());
      dy.backend().run(op::MaxPool2dBackward{dy, index, spec, at_relu});
      at_relu = arriving_at_relu(at_relu);
      call.dy = at_relu;
      call.index = {};
    }
    dy.backend().run(call);
    return tape::Gradients{dx, dweight, dbias};
  };
  return tape::record("batch_norm_relu_max_pool2d", {x, state.weight, state.bias}, y, std::move(backward));
}

}  // namespace

Tensor batch_norm_relu_max_pool2d(const Tensor& x, BatchNormState& state, const Pool2dSpec& spec, bool training) {
  check_state(x, state, training);
  const Backend& backend = x.backend();
  const bool fuses = backend.has<op::BatchNormReluMaxPool2d>() && backend.has<op::PooledGradient>();
  if (fuses && op::BatchNormReluMaxPool2d::fits(spec)) return fused_with_pool(x, state, spec, training);
  return max_pool2d(batch_norm_add_relu(x, state, {}, training).y, spec);
}

namespace {

// On the host, in double; waits for the device.
FoldedBatchNorm folded_on_host(const Tensor& w, const Tensor& bias, const BatchNormState& state) {
  const std::vector<double> gamma = state.weight.to_doubles(), beta = state.bias.to_doubles(), mean = state.running_mean.to_doubles(),
                            var = state.running_var.to_doubles(), old_w = w.to_doubles(),
                            old_bias = bias ? bias.to_doubles() : std::vector<double>(gamma.size(), 0.0);
  const size_t channels = gamma.size();
  const size_t row = channels == 0 ? 0 : old_w.size() / channels;
  return dispatch_real(w.dtype(), "fold_batch_norm", [&]<class T>() {
    std::vector<T> new_w(old_w.size()), new_bias(channels);
    for (size_t k = 0; k < channels; ++k) {
      const double factor = gamma[k] / std::sqrt(var[k] + state.eps);
      new_bias[k] = static_cast<T>(beta[k] + (old_bias[k] - mean[k]) * factor);
      for (size_t i = k * row; i < (k + 1) * row; ++i) new_w[i] = static_cast<T>(old_w[i] * factor);
    }
    return FoldedBatchNorm{from_host(new_w, w.shape(), w.device()), from_host(new_bias, {w.size(0)}, w.device())};
  });
}

}  // namespace

FoldedBatchNorm fold_batch_norm(const Tensor& w, const Tensor& bias, const BatchNormState& state) {
  for (const Tensor* tensor : {&state.weight, &state.bias, &state.running_mean, &state.running_var})
    check::vector_of("fold_batch_norm", "a tensor of the norm", *tensor, w.size(0));
  if (bias) check::vector_of("fold_batch_norm", "the convolution's bias", bias, w.size(0));
  if (w.dtype() != DType::f32 || !w.backend().has<op::FoldBatchNorm>()) return folded_on_host(w, bias, state);
  FoldedBatchNorm folded{empty_like(w), empty({w.size(0)}, w.dtype(), w.device())};
  w.backend().run(op::FoldBatchNorm{.w = w,
                                    .conv_bias = bias,
                                    .weight = state.weight,
                                    .bias = state.bias,
                                    .running_mean = state.running_mean,
                                    .running_var = state.running_var,
                                    .eps = state.eps,
                                    .folded_w = folded.w,
                                    .folded_bias = folded.bias});
  return folded;
}

}  // namespace mirilla
