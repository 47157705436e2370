// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "nn/train/schedule.h"

namespace mirilla::nn {

/// One epoch, as shown in the table.
struct EpochRow {
  int fit = 0;    // 0, 1, ... in the order of the fits
  int epoch = 0;  // within its fit
  double train_loss = 0;
  double valid_loss = 0;  // NaN without validation; rounded to f32, like fastai's mean, unless the network is in f64
  double accuracy = 0;
  double seconds = 0;
  int64_t step = 0;                  // training steps of the whole run up to the end of this epoch
  std::vector<double> metrics = {};  // beside accuracy, in the order of their names
};

/// One training step.
struct StepRow {
  int fit = 0;
  int epoch = 0;
  Rates rates;
  double loss = 0;        // NaN until it has arrived
  double train_loss = 0;  // smoothed up to this step; NaN until it and all before it have arrived
};

/// Records a run. The smoothed loss is debiased and starts again with each fit, not with each epoch: [fastai.learner.AvgSmoothLoss]
///
///   value = .98 value + .02 loss;   train_loss = value / (1 - .98^k) after k steps
///
/// Losses may come late and in any order (a GPU's arrive while later steps run): the smoothed loss advances as far as they have arrived
/// without a gap.
class Recorder {
 public:
  void begin_fit();
  /// Starts a step; its number counts over the whole run, from 0.
  int64_t begin_step(int epoch, const Rates& rates);
  /// The loss of that step. Throws Error for a step that was not started or already has a loss.
  void add(int64_t step, double loss);
  void add_epoch(EpochRow row);

  /// The smoothed loss of the last fit, as far as its losses have arrived; NaN before the first.
  double train_loss() const { return train_loss_; }
  /// Whether a loss of the last fit has arrived.
  bool has_train_loss() const { return smoothed_fit_ == fits_ - 1 && fits_ > 0; }
  int fits() const { return fits_; }
  /// How many steps, counted from the first, have a loss without a gap.
  size_t known_steps() const { return next_; }
  const std::vector<StepRow>& steps() const { return steps_; }
  const std::vector<EpochRow>& epochs() const { return epochs_; }
  /// The epoch with the smallest validation loss of the last fit that has one; nullptr if none has.
  const EpochRow* best() const;

 private:
  void advance();

  int fits_ = 0;
  std::vector<StepRow> steps_;
  std::vector<bool> arrived_;
  std::vector<EpochRow> epochs_;
  size_t next_ = 0;       // the first step whose smoothed loss is not known
  double value_ = 0;      // the biased average
  double remaining_ = 1;  // .98^k
  int smoothed_fit_ = -1;
  double train_loss_ = std::numeric_limits<double>::quiet_NaN();
};

/// "fit,epoch,train_loss,valid_loss,accuracy,seconds,step" and one line per epoch; further metrics follow under their names. Whole or not
/// at all. Throws Error where it cannot be written.
void write_history(const Recorder& recorder, const std::filesystem::path& path, std::span<const std::string> metrics = {});

}  // namespace mirilla::nn
