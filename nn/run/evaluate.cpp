// SPDX-License-Identifier: MIT
#include "nn/run/evaluate.h"

#include <cmath>
#include <limits>
#include <utility>

#include "engine/amp/autocast.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "engine/read_back.h"
#include "kernels/core/error.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

void check_labels(std::span<const int64_t> labels, int64_t classes) {
  for (const int64_t label : labels)
    if (label < 0 || label >= classes)
      throw ShapeError(fmt::format("evaluate: got the label {} for a model of {} classes", label, classes),
                       "open the data with the model's vocabulary");
}

struct SomePictures {
  Tensor pictures, places;  // as op::Augment has them
  int64_t n = 0;
};

Tensor augmented_input(const SomePictures& of, std::span<const float> parameters, bool lighting, const ModelInfo& info,
                       const InputPlace& place) {
  const Tensor rows = from_host(parameters, {of.n, kAugmentParameters}, place.device());
  Tensor input = place.room(of.n, info.size);
  input.backend().run(op::Augment{.pictures = of.pictures,
                                  .parameters = rows,
                                  .places = of.places,
                                  .lighting = lighting,
                                  .mean = info.mean,
                                  .std = info.std,
                                  .y = input});
  place.written(input);
  return input;
}

// Pictures that are on the device are gathered and augmented there.
Tensor batch_input(const data::Batch& batch, std::span<const float> parameters, bool lighting, const ModelInfo& info,
                   const InputPlace& place) {
  if (batch.pictures) {
    if (&batch.pictures.device() != &place.device())
      throw Error(fmt::format("got pictures on {} for a network on {}", batch.pictures.device().name(), place.device().name()));
    return augmented_input({batch.pictures, batch.places, batch.n}, parameters, lighting, info, place);
  }
  const std::span<const uint8_t> pixels(batch.pixels.data(), static_cast<size_t>(batch.n * batch.size * batch.size * 3));
  return to_input(pixels, batch.n, batch.size, batch.size, parameters, lighting, info, place);
}

// Finite logits whose difference overflows f32.
void check_losses(const std::vector<ItemResult>& results) {
  std::vector<int64_t> items;
  for (const ItemResult& result : results)
    if (!std::isfinite(result.loss)) items.push_back(result.item);
  if (!items.empty()) throw NotFinite("the losses", {.module = "cross_entropy"}, std::move(items));
}

struct BatchResults {
  int64_t classes = 0;
  std::vector<ItemResult> items;
};

// What logits say of each picture, and the logits, for one wait.
struct Read {
  std::vector<double> logits;
  std::vector<ItemResult> items;
};

Read read_results(const Tensor& logits, std::span<const int64_t> labels, std::span<const int64_t> items, const Loss& loss) {
  const auto n = static_cast<int64_t>(labels.size());
  if (logits.shape().rank() != 2 || logits.size(0) != n || items.size() != labels.size())
    throw ShapeError(fmt::format("evaluate: got logits {} for {} labels of {} items", to_string(logits.shape()), n, items.size()));
  const auto classes = static_cast<size_t>(logits.size(1));
  check_labels(labels, logits.size(1));
  const Tensor targets = from_host(labels, {n}, logits.device());
  const Loss::Each each = loss.each(logits, targets);
  std::vector<std::vector<double>> all =
      to_doubles_together(std::vector<Tensor>{logits, each.losses, each.weights, softmax(logits), argmax(logits)});
  const std::vector<double>&losses = all[1], &weights = all[2], &probabilities = all[3], &predicted = all[4];
  Read read{.logits = std::move(all[0]), .items = {}};
  for (size_t i = 0; i < labels.size(); ++i)
    read.items.push_back({.item = items[i],
                          .actual = labels[i],
                          .predicted = static_cast<int64_t>(predicted[i]),
                          .loss = losses[i],
                          .probability = probabilities[i * classes + static_cast<size_t>(predicted[i])],
                          .weight = weights.empty() ? 1 : weights[i]});
  return read;
}

BatchResults evaluate_batch(Inference& network, const data::Batch& batch, const ModelInfo& info, const EvaluateOptions& options) {
  const amp::Autocast autocast(amp::dtype_of(network.precision()));
  const Tensor input = validation_input(batch, info, network.input_place());
  const Tensor logits = network(input);
  Read read = read_results(logits, batch.labels, batch.items, options.loss ? *options.loss : plain_cross_entropy());
  if (!options.take_not_finite) {
    if (std::vector<int64_t> rows = rows_not_finite(read.logits, batch.n); !rows.empty())
      throw why_not_finite(again(network, input), std::move(rows)).renumbered(batch.items);
    check_losses(read.items);
  }
  return {.classes = logits.size(1), .items = std::move(read.items)};
}

}  // namespace

Tensor to_input(std::span<const uint8_t> pixels, int64_t n, int height, int width, std::span<const float> parameters, bool lighting,
                const ModelInfo& info, const InputPlace& place) {
  return augmented_input({from_host(pixels, {n, height, width, 3}, place.device()), {}, n}, parameters, lighting, info, place);
}

Tensor training_input(const data::Batch& batch, const data::AugmentSpec& spec, uint64_t seed, uint32_t step, const ModelInfo& info,
                      const InputPlace& place) {
  return batch_input(batch, data::draw_parameters(spec, seed, step, batch.items, batch.size, batch.size), true, info, place);
}

Tensor validation_input(const data::Batch& batch, const ModelInfo& info, const InputPlace& place) {
  return batch_input(batch, data::validation_parameters(static_cast<int>(batch.n), batch.size, batch.size), false, info, place);
}

std::vector<ItemResult> results_of(const Tensor& logits, std::span<const int64_t> labels, std::span<const int64_t> items,
                                   const Loss& loss) {
  return read_results(logits, labels, items, loss).items;
}

Evaluation summarize(int64_t classes, std::vector<ItemResult> items) {
  Evaluation evaluation{.n = static_cast<int64_t>(items.size()), .classes = classes};
  evaluation.confusion.resize(static_cast<size_t>(classes * classes));
  double sum = 0, weight = 0;
  for (const ItemResult& result : items) {
    ++evaluation.confusion[static_cast<size_t>(result.actual * classes + result.predicted)];
    evaluation.correct += result.actual == result.predicted;
    sum += result.loss;
    weight += result.weight;
  }
  const auto n = static_cast<double>(evaluation.n);
  evaluation.accuracy = evaluation.n > 0 ? static_cast<double>(evaluation.correct) / n : std::numeric_limits<double>::quiet_NaN();
  evaluation.loss = evaluation.n > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
  evaluation.items = std::move(items);
  return evaluation;
}

Evaluation evaluate(Module& model, Batches& batches, const ModelInfo& info, const EvaluateOptions& options) {
  Inference network(model, options.precision, options.replay);
  const tape::NoGrad no_grad;
  std::vector<ItemResult> items;
  auto classes = static_cast<int64_t>(info.vocabulary.size());  // where there is no batch
  int64_t iteration = 0;
  batches.start(0);
  while (const data::Batch* batch = batches.next()) {
    if (options.interrupt && options.interrupt->load(std::memory_order_relaxed)) throw Interrupted("interrupted while evaluating");
    const BatchResults some = evaluate_batch(network, *batch, info, options);
    classes = some.classes;
    items.insert(items.end(), some.items.begin(), some.items.end());
    if (options.after_batch) options.after_batch(iteration, batch->n);
    ++iteration;
  }
  return summarize(classes, std::move(items));
}

}  // namespace mirilla::nn
