// SPDX-License-Identifier: MIT
#include "nn/inspect/interpret.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/draw/figure.h"
#include "data/write/csv.h"
#include "kernels/core/error.h"
#include "nn/explain/grad_cam.h"
#include "nn/run/finite.h"
#include "nn/run/predict.h"

namespace mirilla::nn {

namespace {

constexpr int kDigits = 2;
constexpr std::string_view kAccuracy = "accuracy", kMacro = "macro avg", kWeighted = "weighted avg";

const std::string& name_of(std::span<const std::string> vocabulary, int64_t index) { return vocabulary[static_cast<size_t>(index)]; }

int64_t count_of(const Evaluation& evaluation, int64_t actual, int64_t predicted) {
  return evaluation.confusion[static_cast<size_t>(actual * evaluation.classes + predicted)];
}

double share(double part, double whole) { return whole == 0 ? 0 : part / whole; }

ClassScores scores_of(const Evaluation& evaluation, int64_t index) {
  int64_t actual = 0, predicted = 0;
  for (int64_t other = 0; other < evaluation.classes; ++other) {
    actual += count_of(evaluation, index, other);
    predicted += count_of(evaluation, other, index);
  }
  const auto right = static_cast<double>(count_of(evaluation, index, index));
  return {.precision = share(right, static_cast<double>(predicted)),
          .recall = share(right, static_cast<double>(actual)),
          .f1 = share(2 * right, static_cast<double>(actual + predicted)),
          .support = actual};
}

// The mean of all classes' scores with one weight per class.
template <class Weight>
ClassScores mean_of(const std::vector<ClassScores>& classes, Weight weight) {
  ClassScores mean;
  double total = 0;
  for (const ClassScores& scores : classes) {
    const double w = weight(scores);
    mean.precision += w * scores.precision;
    mean.recall += w * scores.recall;
    mean.f1 += w * scores.f1;
    mean.support += scores.support;
    total += w;
  }
  for (double* score : {&mean.precision, &mean.recall, &mean.f1}) *score = share(*score, total);
  return mean;
}

// Characters of UTF-8 text: bytes that do not continue one.
size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string right_aligned(std::string_view text, size_t width) {
  return std::string(width - std::min(width, characters(text)), ' ') + std::string(text);
}

std::string line_of(std::string_view name, const ClassScores& scores, size_t width) {
  return fmt::format("{}  {:>9.{}f} {:>9.{}f} {:>9.{}f} {:>9}\n", right_aligned(name, width), scores.precision, kDigits, scores.recall,
                     kDigits, scores.f1, kDigits, scores.support);
}

std::string csv_line(std::string_view name, const ClassScores& scores) {
  return fmt::format("{},{},{},{},{}\n", data::csv_field(name), scores.precision, scores.recall, scores.f1, scores.support);
}

}  // namespace

std::vector<Confused> most_confused(const Evaluation& evaluation, int64_t min_count) {
  if (min_count < 1) throw UsageError(fmt::format("most_confused: expected a minimum of 1 mistake or more per pair, got {}", min_count));
  std::vector<Confused> pairs;
  for (int64_t actual = 0; actual < evaluation.classes; ++actual)
    for (int64_t predicted = 0; predicted < evaluation.classes; ++predicted) {
      const int64_t count = count_of(evaluation, actual, predicted);
      if (actual != predicted && count >= min_count) pairs.push_back({actual, predicted, count});
    }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Confused& a, const Confused& b) { return a.count > b.count; });
  return pairs;
}

std::vector<ItemResult> top_losses(const Evaluation& evaluation, int64_t k) {
  if (k < 0) throw UsageError(fmt::format("top_losses: expected 0 pictures or more, got {}", k));
  std::vector<ItemResult> results = evaluation.items;
  std::stable_sort(results.begin(), results.end(),
                   [](const ItemResult& a, const ItemResult& b) { return std::isnan(a.loss) ? !std::isnan(b.loss) : a.loss > b.loss; });
  results.resize(std::min(results.size(), static_cast<size_t>(k)));
  return results;
}

std::string caption_of(const ItemResult& result, std::span<const std::string> vocabulary) {
  return fmt::format("{}/{} / {:.2f} / {:.2f}", name_of(vocabulary, result.predicted), name_of(vocabulary, result.actual), result.loss,
                     result.probability);
}

ClassificationReport classification_report(const Evaluation& evaluation) {
  ClassificationReport report;
  for (int64_t index = 0; index < evaluation.classes; ++index) report.classes.push_back(scores_of(evaluation, index));
  report.accuracy = share(static_cast<double>(evaluation.correct), static_cast<double>(evaluation.n));
  report.macro = mean_of(report.classes, [](const ClassScores&) { return 1.0; });
  report.weighted = mean_of(report.classes, [](const ClassScores& scores) { return static_cast<double>(scores.support); });
  return report;
}

std::string to_text(const ClassificationReport& report, std::span<const std::string> vocabulary) {
  size_t width = kWeighted.size();
  for (const std::string& name : vocabulary) width = std::max(width, characters(name));
  std::string text = fmt::format("{:>{}}  {:>9} {:>9} {:>9} {:>9}\n\n", "", width, "precision", "recall", "f1-score", "support");
  for (size_t c = 0; c < report.classes.size(); ++c) text += line_of(vocabulary[c], report.classes[c], width);
  text += fmt::format("\n{}  {:>9} {:>9} {:>9.{}f} {:>9}\n", right_aligned(kAccuracy, width), "", "", report.accuracy, kDigits,
                      report.macro.support);
  return text + line_of(kMacro, report.macro, width) + line_of(kWeighted, report.weighted, width);
}

std::string to_csv(const ClassificationReport& report, std::span<const std::string> vocabulary) {
  std::string text = "class,precision,recall,f1,support\n";
  for (size_t c = 0; c < report.classes.size(); ++c) text += csv_line(vocabulary[c], report.classes[c]);
  text += fmt::format("{},,,{},{}\n", kAccuracy, report.accuracy, report.macro.support);
  return text + csv_line(kMacro, report.macro) + csv_line(kWeighted, report.weighted);
}

std::string confusion_csv(const Evaluation& evaluation, std::span<const std::string> vocabulary) {
  std::string text = "actual\\predicted";
  for (const std::string& name : vocabulary) text += fmt::format(",{}", data::csv_field(name));
  text += '\n';
  for (int64_t actual = 0; actual < evaluation.classes; ++actual) {
    text += data::csv_field(name_of(vocabulary, actual));
    for (int64_t predicted = 0; predicted < evaluation.classes; ++predicted)
      text += fmt::format(",{}", count_of(evaluation, actual, predicted));
    text += '\n';
  }
  return text;
}

std::string to_csv(std::span<const Confused> confused, std::span<const std::string> vocabulary) {
  std::string text = "actual,predicted,count\n";
  for (const Confused& pair : confused)
    text += fmt::format("{},{},{}\n", data::csv_field(name_of(vocabulary, pair.actual)),
                        data::csv_field(name_of(vocabulary, pair.predicted)), pair.count);
  return text;
}

std::string to_csv(std::span<const ItemResult> results, const data::Dataset& dataset) {
  std::string text = "path,actual,predicted,loss,probability\n";
  for (const ItemResult& result : results)
    text += fmt::format("{},{},{},{:.6f},{:.6f}\n", data::csv_field(dataset.items()[static_cast<size_t>(result.item)].path),
                        data::csv_field(name_of(dataset.vocabulary(), result.actual)),
                        data::csv_field(name_of(dataset.vocabulary(), result.predicted)), result.loss, result.probability);
  return text;
}

data::Picture draw_top_losses(Module& model, const data::Dataset& dataset, std::span<const ItemResult> results, const ModelInfo& info,
                              const TopLossesOptions& options) {
  constexpr int kPairPx = 400, kColumns = 3;
  const std::string layer = model.resolve(options.layer);
  const Placement placement = placement_of(model);
  std::vector<data::Panel> panels;
  for (const ItemResult& result : results) {
    const auto picture = dataset.picture(result.item);
    const GradCam cam = of_picture_named(dataset.items()[static_cast<size_t>(result.item)].path, [&] {
      return grad_cam(model, prepare(*picture, info, placement), {layer}, static_cast<int>(result.predicted), CamStyle::course);
    });
    const data::Picture shown = resized_picture(*picture, info);
    panels.push_back({data::beside(shown, overlay(shown, cam.maps[0], CamStyle::course)), caption_of(result, info.vocabulary)});
    if (options.progress) options.progress(static_cast<int64_t>(panels.size()), static_cast<int64_t>(results.size()));
  }
  return data::figure(
      panels, {.panel_px = kPairPx, .columns = kColumns, .title = fmt::format("Prediction/Actual/Loss/Probability, and why at {}", layer)});
}

}  // namespace mirilla::nn
