// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/augment.h"
#include "engine/amp/precision.h"
#include "nn/files/model_file.h"
#include "nn/run/batches.h"
#include "nn/run/inference.h"
#include "nn/run/loss.h"

namespace mirilla::nn {

struct ItemResult {
  int64_t item = 0;  // of the data set
  int64_t actual = 0;
  int64_t predicted = 0;
  double loss = 0;
  double probability = 0;  // of `predicted`
  double weight = 1;       // of the loss in a mean
};

/// A model's results on labelled pictures.
struct Evaluation {
  int64_t n = 0;
  int64_t correct = 0;
  double accuracy = 0;  // correct / n; NaN without pictures
  double loss = 0;      // the mean over pictures, weighted by what each counts (ItemResult::weight) and not by batch
  int64_t classes = 0;
  std::vector<int64_t> confusion;  // (classes, classes), rows actual, columns predicted
  std::vector<ItemResult> items;   // in the order of the batches
};

/// What logits say of each picture: its loss, the likeliest class (the first of equals), its probability.
///
///   logits  (n,classes);  labels, items  (n)
///
/// Waits for the device, once. Throws ShapeError for a label outside the classes, or sizes that differ.
std::vector<ItemResult> results_of(const Tensor& logits, std::span<const int64_t> labels, std::span<const int64_t> items,
                                   const Loss& loss = plain_cross_entropy());

/// Sums the results.
Evaluation summarize(int64_t classes, std::vector<ItemResult> items);

struct EvaluateOptions {
  std::function<void(int64_t iteration, int64_t pictures)> after_batch = {};
  const std::atomic<bool>* interrupt = nullptr;
  amp::Precision precision = amp::Precision::fp32;
  ReplayOptions replay = {};
  const Loss* loss = nullptr;    // null: plain cross entropy
  bool take_not_finite = false;  // losses that are not finite are counted like others, as in training, where the table shows them
};

/// Runs the model in evaluation mode, without the tape, over one epoch of `batches` with validation's transforms; the mode is restored
/// after. Uses info.size, mean and std. Throws NotFinite at the first batch with logits or losses that are not finite, with the pictures'
/// items; Interrupted if the flag was raised; ShapeError for a label that is no class of the model.
Evaluation evaluate(Module& model, Batches& batches, const ModelInfo& info, const EvaluateOptions& options = {});

/// 8-bit pictures to network input, as Augment says: pixels (n,h,w,3) and one row of parameters per picture.
Tensor to_input(std::span<const uint8_t> pixels, int64_t n, int height, int width, std::span<const float> parameters, bool lighting,
                const ModelInfo& info, const InputPlace& place);

/// The input of training for a batch at a step: spec's draws for (seed, step) and each item, one crop for all; spec.size is info.size.
Tensor training_input(const data::Batch& batch, const data::AugmentSpec& spec, uint64_t seed, uint32_t step, const ModelInfo& info,
                      const InputPlace& place);
/// The input of validation for it: the central square, which is the whole of a square picture.
Tensor validation_input(const data::Batch& batch, const ModelInfo& info, const InputPlace& place);

}  // namespace mirilla::nn
