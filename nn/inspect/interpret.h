// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/run/evaluate.h"

/// A classifier's mistakes, from an Evaluation.                                             [fastai ClassificationInterpretation]
namespace mirilla::nn {

/// Pictures of one class that were predicted as another.
struct Confused {
  int64_t actual = 0;
  int64_t predicted = 0;
  int64_t count = 0;
  bool operator==(const Confused&) const = default;
};

/// Every pair of different classes that was confused at least `min_count` times, the most frequent first, equal counts in the matrix's
/// order (by actual, then by predicted class). Throws UsageError for a min_count below 1.
///                                                                                                                   [fastai most_confused]
std::vector<Confused> most_confused(const Evaluation& evaluation, int64_t min_count = 1);

/// The k pictures with the largest losses, or all if there are fewer, the largest first; a NaN counts as larger than any number; equal
/// losses keep the order of the batches (torch.topk leaves this open).             [fastai Interpretation.top_losses] Throws UsageError for
/// k < 0.
std::vector<ItemResult> top_losses(const Evaluation& evaluation, int64_t k);

/// `predicted/actual / loss / probability of the predicted`, with numbers as %.2f: the caption of a picture.
///                                                                                                                 [fastai plot_top_losses]
std::string caption_of(const ItemResult& result, std::span<const std::string> vocabulary);

/// How well one class is recognised. 0/0 counts as 0.                              [sklearn.metrics.precision_recall_fscore_support]
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

/// The report as a table, with the same characters as sklearn prints for the same counts.       [sklearn.metrics.classification_report]
/// Names are UTF-8; their width is the number of characters. (numpy adds eight or more numbers in another order: a mean on the
/// edge between two roundings may then differ in its last printed digit.)
std::string to_text(const ClassificationReport& report, std::span<const std::string> vocabulary);

/// The same numbers for other programs, with all digits: class,precision,recall,f1,support; then accuracy (its one number as f1), macro avg
/// and weighted avg.
std::string to_csv(const ClassificationReport& report, std::span<const std::string> vocabulary);
/// actual\predicted,<names>; then one line per class.
std::string confusion_csv(const Evaluation& evaluation, std::span<const std::string> vocabulary);
/// actual,predicted,count
std::string to_csv(std::span<const Confused> confused, std::span<const std::string> vocabulary);
/// path,actual,predicted,loss,probability
std::string to_csv(std::span<const ItemResult> results, const data::Dataset& dataset);

struct TopLossesOptions {
  std::string layer = "layer4";  // as Module::resolve understands it
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// A sheet of these pictures under their captions, each beside the Grad-CAM map of the predicted class: where the model saw something that
/// is not there. Runs the model once per picture. Throws UsageError for an unknown layer or without results, DataError where a picture does
/// not decode or a map is not finite.
data::Picture draw_top_losses(Module& model, const data::Dataset& dataset, std::span<const ItemResult> results, const ModelInfo& info,
                              const TopLossesOptions& options = {});

}  // namespace mirilla::nn
