// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "nn/files/model_file.h"
#include "nn/run/evaluate.h"
#include "nn/run/finite.h"

/// Test-time augmentation: the mean of what the network says of a picture under training's transforms, mixed with what it says of the
/// picture itself.                                                                                        [fastai.learner.Learner.tta]
namespace mirilla::nn {

/// Random numbers: pass p shows picture i of batch b under crop_draw(seed, p, i), as training's Resize, and then under row i of
/// draw_parameters(augment, seed, b n + p), as training's step of that number: the last crop is one for the whole batch, as in fastai, so
/// what is said of a picture depends a little on those beside it. Batches are formed in the order of the pictures.
struct TtaOptions {
  int n = 4;             // passes under training's transforms
  double beta = 0.25;    // the share of the plain picture
  bool use_max = false;  // fastai's use_max: instead of both means the largest of a class's probabilities, without renormalising
  uint64_t seed = 42;
  data::AugmentSpec augment = {};  // augment.size is overridden by info.size
};

/// Throws UsageError for fewer than one pass or a share outside [0,1].
void check(const TtaOptions& options);

/// Pictures that Resize made square already, one after another, and what augmentation makes of each.
struct PreparedPictures {
  std::span<const uint8_t> pixels;  // (n, info.resize, info.resize, 3)
  int64_t n = 0;
  std::span<const float> rows;  // (n, kAugmentParameters), of data::compose
  bool lighting = false;        // as in training
};

/// softmax(logits) of one batch, (n, classes). Waits for the device. Throws NotFinite where a logit is not finite.
std::vector<double> probabilities(Inference& network, const PreparedPictures& pictures, const ModelInfo& info);
/// The same of a network that is run this once.
std::vector<double> probabilities(Module& model, const PreparedPictures& pictures, const ModelInfo& info, amp::Precision precision);

/// The same, and which pictures' rows mean nothing.
struct Answers {
  std::vector<double> probabilities;  // (n, classes)
  std::optional<NotFinite> not_finite = {};
};
Answers answers(Inference& network, const PreparedPictures& pictures, const ModelInfo& info);

/// (1 - beta) mean(augmented) + beta plain, or with use_max the maximum of all, element by element. Throws ShapeError where sizes differ.
std::vector<double> combine_tta(std::span<const std::vector<double>> augmented, std::span<const double> plain, const TtaOptions& options);

/// The rows of one pass over one batch; `items` as draw_parameters takes them.
std::vector<float> tta_rows(const TtaOptions& options, const ModelInfo& info, int64_t batch, int pass, std::span<const int64_t> items);

/// evaluate() with the mixed probabilities. `augmented` gives the same pictures as `plain` in the same order, with training's crops anew in
/// each epoch (LoaderOptions::random_crops); it is run over n times, from epoch 0. The loss is the mean of -ln of the right class's
/// probability, or of the smallest that f32 holds where that is 0. Throws as evaluate() does.
Evaluation evaluate_tta(Module& model, Batches& augmented, Batches& plain, const ModelInfo& info, const TtaOptions& tta,
                        const EvaluateOptions& options = {});

}  // namespace mirilla::nn
