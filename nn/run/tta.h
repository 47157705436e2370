// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "nn/files/model_file.h"
#include "nn/run/evaluate.h"
#include "nn/run/finite.h"

/// Test-time augmentation: the mean of the network's predictions for a picture under training's transforms, mixed with the prediction for
/// the picture itself.                                                                                        [fastai.learner.Learner.tta]
namespace mirilla::nn {

/// Random numbers: pass p shows picture i of batch b under crop_draw(seed, p, i), as in training's Resize, and then under row i of
/// draw_parameters(augment, seed, b n + p), as in the training step of that number: the last crop is shared by the whole batch, as in
/// fastai, so a prediction depends a little on the other pictures of the batch. Batches are formed in the order of the pictures.
struct TtaOptions {
  int n = 4;             // passes under training's transforms
  double beta = 0.25;    // the share of the plain picture
  bool use_max = false;  // fastai's use_max: the largest of a class's probabilities instead of the means, without renormalising
  uint64_t seed = 42;
  data::AugmentSpec augment = {};  // augment.size is overridden by info.size
};

/// Throws UsageError for fewer than one pass or a share outside [0,1].
void check(const TtaOptions& options);

/// Pictures already made square by Resize, one after another, and the augmentation of each.
struct PreparedPictures {
  std::span<const uint8_t> pixels;  // (n, info.resize, info.resize, 3)
  int64_t n = 0;
  std::span<const float> rows;  // (n, kAugmentParameters), from data::compose
  bool lighting = false;        // as in training
};

/// softmax(logits) of one batch, (n, classes). Waits for the device. Throws NotFinite if a logit is not finite.
std::vector<double> probabilities(Inference& network, const PreparedPictures& pictures, const ModelInfo& info);
/// The same for a network that is run only once.
std::vector<double> probabilities(Module& model, const PreparedPictures& pictures, const ModelInfo& info, amp::Precision precision);

/// The same, and which pictures have no valid row.
struct Answers {
  std::vector<double> probabilities;  // (n, classes)
  std::optional<NotFinite> not_finite = {};
};
Answers answers(Inference& network, const PreparedPictures& pictures, const ModelInfo& info);

/// (1 - beta) mean(augmented) + beta plain, or with use_max the maximum of all, element by element. Throws ShapeError where sizes differ.
std::vector<double> combine_tta(std::span<const std::vector<double>> augmented, std::span<const double> plain, const TtaOptions& options);

/// The rows of one pass over one batch; `items` as in draw_parameters.
std::vector<float> tta_rows(const TtaOptions& options, const ModelInfo& info, int64_t batch, int pass, std::span<const int64_t> items);

/// evaluate() with the mixed probabilities. `augmented` gives the same pictures as `plain` in the same order, with new training crops in
/// each epoch (LoaderOptions::random_crops); it is run over n times, from epoch 0. The loss is the mean of -ln of the right class's
/// probability, or of the smallest f32 if it is 0. Throws like evaluate().
Evaluation evaluate_tta(Module& model, Batches& augmented, Batches& plain, const ModelInfo& info, const TtaOptions& tta,
                        const EvaluateOptions& options = {});

}  // namespace mirilla::nn
