// SPDX-License-Identifier: MIT
#include "nn/run/tta.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/amp/autocast.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tape.h"
#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

PreparedPictures prepared(const data::Batch& batch, std::span<const float> rows, bool lighting) {
  return {.pixels = std::span(batch.pixels).first(static_cast<size_t>(batch.n * batch.size * batch.size * 3)),
          .n = batch.n,
          .rows = rows,
          .lighting = lighting};
}

void stop_if_interrupted(const EvaluateOptions& options) {
  if (options.interrupt && options.interrupt->load(std::memory_order_relaxed)) throw Interrupted("interrupted while evaluating");
}

// A softmax in f32 gives 0 for probabilities below this.
constexpr double kSmallest = std::numeric_limits<float>::denorm_min();

// The results of each picture of a batch from the mixed probabilities.
void add_results(const data::Batch& batch, std::span<const double> mixed, size_t classes, std::vector<ItemResult>& results) {
  for (size_t i = 0; i < static_cast<size_t>(batch.n); ++i) {
    const int64_t actual = batch.labels[i];
    if (actual < 0 || actual >= static_cast<int64_t>(classes))
      throw ShapeError(fmt::format("evaluate: got the label {} for a model of {} classes", actual, classes),
                       "open the data with the model's vocabulary");
    const std::span<const double> row = mixed.subspan(i * classes, classes);
    const auto likeliest = std::max_element(row.begin(), row.end());
    results.push_back({.item = batch.items[i],
                       .actual = actual,
                       .predicted = likeliest - row.begin(),
                       .loss = -std::log(std::max(row[static_cast<size_t>(actual)], kSmallest)),
                       .probability = *likeliest});
  }
}

// The probabilities for a batch; errors name its pictures by their items.
std::vector<double> probabilities_of(Inference& network, const data::Batch& batch, const PreparedPictures& pictures,
                                     const ModelInfo& info) {
  try {
    return probabilities(network, pictures, info);
  } catch (const NotFinite& error) {
    throw error.renumbered(batch.items);
  }
}

}  // namespace

void check(const TtaOptions& options) {
  if (options.n < 1) throw UsageError(fmt::format("test-time augmentation: expected at least one pass, got {}", options.n));
  if (!(options.beta >= 0 && options.beta <= 1))
    throw UsageError(fmt::format("test-time augmentation: expected a share between 0 and 1, got {}", options.beta),
                     "0.25 is usual: a quarter for the plain picture");
}

Answers answers(Inference& network, const PreparedPictures& pictures, const ModelInfo& info) {
  const tape::NoGrad no_grad;
  const amp::Autocast autocast(amp::dtype_of(network.precision()));
  const Tensor input =
      to_input(pictures.pixels, pictures.n, info.resize, info.resize, pictures.rows, pictures.lighting, info, network.input_place());
  const Tensor logits = network(input);
  Answers result{.probabilities = softmax(logits).to_doubles()};
  if (std::vector<int64_t> rows = rows_not_finite(logits.to_doubles(), pictures.n); !rows.empty())
    result.not_finite = why_not_finite(again(network, input), std::move(rows));
  return result;
}

std::vector<double> probabilities(Inference& network, const PreparedPictures& pictures, const ModelInfo& info) {
  Answers result = answers(network, pictures, info);
  if (result.not_finite) throw *result.not_finite;
  return std::move(result.probabilities);
}

std::vector<double> probabilities(Module& model, const PreparedPictures& pictures, const ModelInfo& info, amp::Precision precision) {
  Inference network(model, precision, {.mode = ReplayMode::off});  // a single run gains nothing from a replay
  return probabilities(network, pictures, info);
}

std::vector<double> combine_tta(std::span<const std::vector<double>> augmented, std::span<const double> plain, const TtaOptions& options) {
  std::vector<double> mixed(plain.begin(), plain.end());
  for (const std::vector<double>& pass : augmented)
    if (pass.size() != plain.size())
      throw ShapeError(
          fmt::format("test-time augmentation: got {} probabilities, but {} of the plain pictures", pass.size(), plain.size()));
  for (size_t i = 0; i < mixed.size(); ++i) {
    double sum = 0, largest = plain[i];
    for (const std::vector<double>& pass : augmented) {
      sum += pass[i];
      largest = std::max(largest, pass[i]);
    }
    const double mean = sum / static_cast<double>(augmented.size());
    mixed[i] = options.use_max ? largest : mean + options.beta * (plain[i] - mean);
  }
  return mixed;
}

std::vector<float> tta_rows(const TtaOptions& options, const ModelInfo& info, int64_t batch, int pass, std::span<const int64_t> items) {
  data::AugmentSpec spec = options.augment;
  spec.size = info.size;
  return data::draw_parameters(spec, options.seed, static_cast<uint32_t>(batch * options.n + pass), items, info.resize, info.resize);
}

Evaluation evaluate_tta(Module& model, Batches& augmented, Batches& plain, const ModelInfo& info, const TtaOptions& tta,
                        const EvaluateOptions& options) {
  check(tta);
  Inference network(model, options.precision, options.replay);
  int64_t iteration = 0;
  const auto run = [&](const data::Batch& batch, std::span<const float> rows, bool lighting) {
    stop_if_interrupted(options);
    std::vector<double> result = probabilities_of(network, batch, prepared(batch, rows, lighting), info);
    if (options.after_batch) options.after_batch(iteration++, batch.n);
    return result;
  };
  std::vector<std::vector<std::vector<double>>> passes;  // the passes of each batch
  for (int pass = 0; pass < tta.n; ++pass) {
    augmented.start(pass);
    for (size_t b = 0; const data::Batch* batch = augmented.next(); ++b) {
      if (passes.size() <= b) passes.emplace_back();
      passes[b].push_back(run(*batch, tta_rows(tta, info, static_cast<int64_t>(b), pass, batch->items), true));
    }
  }
  std::vector<ItemResult> results;
  auto classes = static_cast<int64_t>(info.vocabulary.size());  // where there is no batch
  plain.start(0);
  for (size_t b = 0; const data::Batch* batch = plain.next(); ++b) {
    const std::vector<float> rows = data::validation_parameters(static_cast<int>(batch->n), batch->size, batch->size);
    const std::vector<double> said = run(*batch, rows, false);
    if (b >= passes.size()) throw DataError("test-time augmentation: got fewer augmented batches than plain ones");
    classes = static_cast<int64_t>(said.size()) / batch->n;
    add_results(*batch, combine_tta(passes[b], said, tta), static_cast<size_t>(classes), results);
  }
  return summarize(classes, std::move(results));
}

}  // namespace mirilla::nn
