// SPDX-License-Identifier: MIT
#include "nn/inspect/trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/amp/autocast.h"
#include "engine/amp/grad_scaler.h"
#include "engine/ops/cast.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "kernels/core/error.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

namespace {

constexpr double kScale = 1024;  // a logit's gradient of 1 must not overflow, and small ones must not vanish

// The state that a pass in training mode changes; restored when this object is destroyed.
class LeftAsItWas {
 public:
  LeftAsItWas(Module& model, const TraceOptions& options) : model_(model), training_(model.training()) {
    for (const auto& [name, module] : model.modules())
      if (auto* dropout = dynamic_cast<Dropout*>(module)) dropouts_.emplace_back(dropout, dropout->p());
    for (NamedTensor& parameter : model.parameters()) {
      gradients_.emplace_back(parameter.tensor, parameter.tensor.grad());
      parameter.tensor.clear_grad();
    }
    if (options.training)
      for (NamedTensor& buffer : model.buffers()) buffers_.emplace_back(buffer.tensor, buffer.tensor.clone());
    model.train(options.training);
    if (!options.dropout)
      for (const auto& [dropout, p] : dropouts_) dropout->set_p(0);
  }
  ~LeftAsItWas() {
    try {
      for (auto& [buffer, before] : buffers_) buffer.copy_from(before);
    } catch (const Error&) {  // the device failed, and its buffers are lost; its error is on the way
    }
    for (auto& [parameter, before] : gradients_) {
      parameter.clear_grad();
      if (before) parameter.set_grad(before);
    }
    for (const auto& [dropout, p] : dropouts_) dropout->set_p(p);
    model_.train(training_);
  }
  LeftAsItWas(const LeftAsItWas&) = delete;
  LeftAsItWas& operator=(const LeftAsItWas&) = delete;

 private:
  Module& model_;
  bool training_;
  std::vector<std::pair<Dropout*, double>> dropouts_;
  std::vector<std::pair<Tensor, Tensor>> gradients_, buffers_;
};

void check(const Tensor& input, const TraceOptions& options) {
  if (options.training && input.size(0) < 2)
    throw UsageError("in training mode batch norms use the statistics of the batch, which one picture does not have",
                     "give two pictures or more");
  if (!options.classes.empty() && static_cast<int64_t>(options.classes.size()) != input.size(0))
    throw UsageError(fmt::format("expected one class per picture, got {} for {}", options.classes.size(), input.size(0)));
}

// The classes that the objective is about: those asked for, or each picture's likeliest.
std::vector<int64_t> classes_of(const Tensor& logits, const TraceOptions& options) {
  const int64_t count = logits.size(1);
  for (const int64_t wanted : options.classes)
    if (wanted < 0 || wanted >= count) throw UsageError(fmt::format("expected a class from 0 to {}, got {}", count - 1, wanted));
  return options.classes.empty() ? argmax(logits).to_vector<int64_t>() : options.classes;
}

// From the objective to the input: fills the gradients of `targets`; if there are none, of everything watched and of the parameters.
void flow_back(const Tensor& logits, const TraceOptions& options, const std::vector<int64_t>& classes, std::vector<Tensor> targets) {
  Device& device = logits.device();
  const bool half = size_of(logits.dtype()) < size_of(DType::f32);
  const Tensor root = half ? cast(logits, DType::f32) : logits;
  tape::BackwardOptions backward{.targets = std::move(targets)};
  if (options.precision == amp::Precision::fp16) backward.factor = amp::GradScaler(device, {.initial = kScale}).factor();
  if (options.objective == Objective::loss)
    return tape::backward(cross_entropy(root, from_host(classes, {logits.size(0)}, device)).loss, backward);
  std::vector<float> chosen(static_cast<size_t>(root.numel()), 0);
  for (size_t n = 0; n < classes.size(); ++n) chosen[n * static_cast<size_t>(root.size(1)) + static_cast<size_t>(classes[n])] = 1;
  backward.seed = from_host(chosen, root.shape(), device).to(root.dtype());
  tape::backward(root, backward);
}

// Every call of every watched module, in the order of execution.
std::vector<Traced> in_order(Module& model, const std::vector<Watch>& watches) {
  std::vector<std::pair<size_t, Traced>> placed;
  for (const Watch& watch : watches)
    for (size_t call = 0; call < watch.calls(); ++call) {
      const Module& module = model.at(watch.name());
      placed.emplace_back(watch.place(call), Traced{.name = watch.name(),
                                                    .kind = std::string(module.kind()),
                                                    .call = call,
                                                    .value = watch.activation(call).detach(),
                                                    .gradient = watch.activation(call).grad()});
    }
  std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Traced> all;
  for (auto& [place, traced] : placed) all.push_back(std::move(traced));
  return all;
}

std::vector<Traced> kept(const std::vector<NamedTensor>& tensors) {
  std::vector<Traced> all;
  for (const NamedTensor& named : tensors)
    all.push_back({.name = named.name, .value = named.tensor.clone(), .gradient = named.tensor.grad()});
  return all;
}

// One forward and one backward pass with everything watched.
void run_watched(Module& model, Tensor input, const TraceOptions& options, Trace& result) {
  std::vector<Watch> watches;
  for (const auto& [name, module] : model.modules())
    if (!name.empty()) watches.push_back(model.watch(name));  // the whole model's output is its last child's
  tape::keep_gradient(input);
  const Tensor logits = model(input);
  result.classes = classes_of(logits, options);
  std::vector<Tensor> targets;  // empty: the parameters' too
  if (!options.parameters) {
    targets.push_back(input);
    for (const Watch& watch : watches)
      for (size_t call = 0; call < watch.calls(); ++call) targets.push_back(watch.activation(call));
  }
  flow_back(logits, options, result.classes, std::move(targets));
  result.modules = in_order(model, watches);
  result.modules.insert(result.modules.begin(), {.name = "input", .value = input.detach(), .gradient = input.grad()});
}

}  // namespace

Trace trace(Module& model, const Tensor& input, const TraceOptions& options) {
  check(input, options);
  const LeftAsItWas state(model, options);
  const amp::Autocast autocast(amp::dtype_of(options.precision));
  Trace result;
  model.begin_step(options.seed, 0);
  if (options.parameters) {
    run_watched(model, input.detach(), options, result);
    result.parameters = kept(model.parameters());
    result.buffers = kept(model.buffers());
  } else {
    const tape::NoGrad no_grad;  // only the watches decide what is recorded
    run_watched(model, input.detach(), options, result);
  }
  if (!options.training) {
    const tape::NoGrad no_grad;
    result.inference = model(input.detach());
  }
  result.about = {{"classes", nlohmann::json(result.classes).dump()},
                  {"objective", options.objective == Objective::loss ? "loss" : "logit"},
                  {"mode", options.training ? "training" : "evaluation"},
                  {"order", "execution"}};
  return result;
}

}  // namespace mirilla::nn
