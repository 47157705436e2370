// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/run/evaluate.h"

/// What an Evaluation says of a classifier's mistakes.                                             [fastai ClassificationInterpretation]
namespace mirilla::nn {

/// Pictures of one class that were taken for another.
struct Confused {
  int64_t actual = 0;
  int64_t predicted = 0;
  int64_t count = 0;
  bool operator==(const Confused&) const = default;
};

/// Every pair of different classes that was confused at least `min_count` times, the most frequent first, equals in the matrix's order (by
/// actual, then by predicted class). Throws UsageError for a min_count below 1.                                  [fastai most_confused]
std::vector<Confused> most_confused(const Evaluation& evaluation, int64_t min_count = 1);

/// The k pictures with the largest losses, or all where there are fewer, the largest first; a NaN counts as larger than any number, equals
/// keep the order of the batches (torch.topk leaves it open).             [fastai Interpretation.top_losses] Throws UsageError for k < 0.
std::vector<ItemResult> top_losses(const Evaluation& evaluation, int64_t k);

/// `predicted/actual / loss / probability of the predicted`, the numbers as %.2f: what stands over a picture.       [fastai
/// plot_top_losses]
std::string caption_of(const ItemResult& result, std::span<const std::string> vocabulary);

/// How well one class is found. What would be 0/0 is 0.                              [sklearn.metrics.precision_recall_fscore_support]
///
///   precision = right / predicted as it;  recall = right / of it;  f1 = 2 right / (predicted as it + of it)
struct ClassScores {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  int64_t support = 0;  // pictures of it
};

struct ClassificationReport {
  std::vector<ClassScores> classes;  // in the vocabulary's order
  double accuracy = 0;               // 0 without pictures
  ClassScores macro;                 // means over the classes; support: all pictures
  ClassScores weighted;              // means weighted by support
};
ClassificationReport classification_report(const Evaluation& evaluation);

/// The report as a table, character for character what sklearn prints for the same counts.       [sklearn.metrics.classification_report]
/// Names are UTF-8 and as wide as their characters are many. (numpy adds eight and more numbers in another order: a mean that lies on the
/// edge of two roundings may then print otherwise in its last digit.)
std::string to_text(const ClassificationReport& report, std::span<const std::string> vocabulary);

/// The same numbers for other programs, in full: class,precision,recall,f1,support; then accuracy (its one number as f1), macro avg and
/// weighted avg.
std::string to_csv(const ClassificationReport& report, std::span<const std::string> vocabulary);
/// actual\predicted,<names>; then a line a class.
std::string confusion_csv(const Evaluation& evaluation, std::span<const std::string> vocabulary);
/// actual,predicted,count
std::string to_csv(std::span<const Confused> confused, std::span<const std::string> vocabulary);
/// path,actual,predicted,loss,probability
std::string to_csv(std::span<const ItemResult> results, const data::Dataset& dataset);

struct TopLossesOptions {
  std::string layer = "layer4";  // as Module::resolve understands it
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// A sheet of these pictures under their captions, each beside Grad-CAM's map of the class that was predicted: where the model saw what is
/// not there. Runs the model once a picture. Throws UsageError for an unknown layer or without results, DataError where a picture does not
/// decode or a map is not finite.
data::Picture draw_top_losses(Module& model, const data::Dataset& dataset, std::span<const ItemResult> results, const ModelInfo& info,
                              const TopLossesOptions& options = {});

}  // namespace mirilla::nn
