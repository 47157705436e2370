// SPDX-License-Identifier: MIT
#include "nn/evaluate.h"

#include <limits>

#include "engine/amp/autocast.h"
#include "engine/ops/loss.h"
#include "engine/ops/reductions.h"
#include "kernels/error.h"

namespace mirilla::nn {

namespace {

void check_labels(const data::Batch& batch, int64_t classes) {
  for (const int64_t label : batch.labels)
    if (label < 0 || label >= classes)
      throw ShapeError(fmt::format("evaluate: the label {} came for a model of {} classes", label, classes),
                       "open the data under the model's vocabulary");
}

// Adds one batch; returns the sum of its losses.
double add_batch(ResNet& model, const data::Batch& batch, const ModelInfo& info, amp::Precision precision, Evaluation& evaluation) {
  const Placement placement = input_placement(model, precision);
  const amp::Autocast autocast(amp::dtype_of(precision));
  const std::vector<float> parameters = data::validation_parameters(static_cast<int>(batch.n), batch.size, batch.size);
  const std::span<const uint8_t> pixels(batch.pixels.data(), static_cast<size_t>(batch.n * batch.size * batch.size * 3));
  const Tensor logits = model(to_input(pixels, batch.n, batch.size, batch.size, parameters, false, info, placement));
  const int64_t classes = logits.size(1);
  check_labels(batch, classes);
  const Tensor targets = from_host(std::span<const int64_t>(batch.labels), {batch.n}, placement.device);
  const std::vector<double> losses = cross_entropy(logits, targets).losses.to_doubles();
  const std::vector<double> probabilities = softmax(logits).to_doubles();
  const std::vector<int64_t> predicted = argmax(logits).to_vector<int64_t>();
  double sum = 0;
  for (size_t i = 0; i < predicted.size(); ++i) {
    const int64_t actual = batch.labels[i];
    evaluation.items.push_back({.item = batch.items[i],
                                .actual = actual,
                                .predicted = predicted[i],
                                .loss = losses[i],
                                .probability = probabilities[i * static_cast<size_t>(classes) + static_cast<size_t>(predicted[i])]});
    ++evaluation.confusion[static_cast<size_t>(actual * classes + predicted[i])];
    evaluation.correct += actual == predicted[i];
    sum += losses[i];
  }
  evaluation.n += batch.n;
  return sum;
}

}  // namespace

Placement placement_of(const Module& model) {
  const std::vector<NamedTensor> parameters = model.parameters();
  if (parameters.empty()) throw Error("a model without parameters has no device");
  return {.device = parameters[0].tensor.device(), .dtype = parameters[0].tensor.dtype()};
}

Placement input_placement(const Module& model, amp::Precision precision) {
  Placement placement = placement_of(model);
  if (precision != amp::Precision::fp32) placement.dtype = amp::dtype_of(precision);
  return placement;
}

Tensor to_input(std::span<const uint8_t> pixels, int64_t n, int height, int width, std::span<const float> parameters, bool lighting,
                const ModelInfo& info, Placement placement) {
  const Tensor pictures = from_host(pixels, {n, height, width, 3}, placement.device);
  const Tensor rows = from_host(parameters, {n, kAugmentParameters}, placement.device);
  Tensor input = empty({n, info.size, info.size, 3}, placement.dtype, placement.device);
  input.backend().augment({.pictures = pictures, .parameters = rows, .lighting = lighting, .mean = info.mean, .std = info.std, .y = input});
  return input;
}

Evaluation evaluate(ResNet& model, Batches& batches, const ModelInfo& info, const EvaluateOptions& options) {
  const EvaluationMode mode(model);
  const tape::NoGrad no_grad;
  Evaluation evaluation{.classes = model.spec().classes};
  evaluation.confusion.resize(static_cast<size_t>(evaluation.classes * evaluation.classes));
  double sum = 0;
  int64_t iteration = 0;
  batches.start(0);
  while (const data::Batch* batch = batches.next()) {
    if (options.interrupt && options.interrupt->load(std::memory_order_relaxed)) throw Interrupted("interrupted while evaluating");
    sum += add_batch(model, *batch, info, options.precision, evaluation);
    if (options.after_batch) options.after_batch(iteration, batch->n);
    ++iteration;
  }
  const auto n = static_cast<double>(evaluation.n);
  evaluation.accuracy = evaluation.n > 0 ? static_cast<double>(evaluation.correct) / n : std::numeric_limits<double>::quiet_NaN();
  evaluation.loss = evaluation.n > 0 ? sum / n : std::numeric_limits<double>::quiet_NaN();
  return evaluation;
}

}  // namespace mirilla::nn
