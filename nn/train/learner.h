// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/photos.h"
#include "engine/amp/precision.h"
#include "nn/files/classifier.h"
#include "nn/files/model_file.h"
#include "nn/run/batches.h"
#include "nn/run/evaluate.h"
#include "nn/run/loss.h"
#include "nn/run/metric.h"
#include "nn/train/adam.h"
#include "nn/train/callback.h"
#include "nn/train/late_losses.h"
#include "nn/train/recorder.h"
#include "nn/train/schedule.h"
#include "nn/train/training_step.h"

namespace mirilla::nn {

struct LearnerOptions {
  uint64_t seed = 42;                               // for dropout, augmentation and, through make_learner, for order and crops
  data::AugmentSpec augment = {};                   // augment.size is overridden by info.size
  bool augmentation = true;                         // off: training uses validation's transforms
  AdamOptions adam = {};                            // where no optimizer is named:
  OptimizerMaker optimizer = {};                    // adam(...), sgd(...), or one of your own
  std::shared_ptr<const Loss> loss = {};            // of training and validation; null: plain cross entropy
  std::vector<Metric> metrics = {};                 // what the table and the history show beside accuracy
  amp::Precision precision = amp::Precision::fp32;  // for training and validation
  amp::GradScalerOptions scaler = {};               // in fp16
  ReplayOptions replay = {};                        // of training steps and of validation
  const std::atomic<bool>* interrupt = nullptr;     // raised by a signal handler; checked before every batch
  // For make_learner:
  int64_t batch_size = 128;
  int loader_threads = 1;
  DevicePictures device_pictures = {};
};

/// Everything that training changes, as copies: to try something and undo it.
struct LearnerState {
  std::vector<Tensor> values;  // the model's parameters, then its buffers
  std::vector<OptimizerSlot> optimizer;
  Tensor scaler;  // a tensor only in fp16
  int64_t step = 0;
  int64_t epoch = 0;
  bool training = false;  // the mode of the model
};

/// Trains a network that gives logits (N,classes of the vocabulary) on batches: augment, forward, loss, backward, optimizer, along
/// one-cycle schedules; validates after every epoch; tells its callbacks.
///
/// Random numbers are keyed by (seed, purpose, step, item), the step counting over all fits, so the same seed gives the same run, with the
/// same bits, on the same device with the same number of threads.
///
/// A step does not wait for the device: if the device is behind, losses arrive some steps later; the recorder, the reports and the smoothed
/// loss cover those that have arrived, and all have arrived when the epoch's validation begins or the fit ends, in any way. A host device
/// is never behind.
///
/// In half precision the network sees halves and runs under amp::Autocast; weights and the optimizer's tensors stay f32, the loss is f32.
/// In fp16 it is scaled, by a scaler made anew for each fit, and a step whose gradients overflowed leaves weights and moments as they are,
/// while the schedule goes on. [fastai.callback.fp16.MixedPrecision]
class Learner {
 public:
  Learner(Module& model, std::unique_ptr<Batches> train, std::unique_ptr<Batches> valid, ModelInfo info, LearnerOptions options = {});

  /// On photos of the model's classes, at their sizes, which become the model's. Throws UsageError where the classes differ. The model
  /// outlives the learner.
  Learner(Classifier& model, const data::Photos& photos, LearnerOptions options = {});

  /// The caller owns callbacks and keeps them alive during fits.
  void add(Callback& callback);
  /// The same of one that the learner keeps: learn.add(Table(std::cout)). The reference lives as long as the learner.
  template <std::derived_from<Callback> C>
  C& add(C&& callback) {
    auto kept = std::make_unique<C>(std::move(callback));
    C& reference = *kept;
    own_callbacks_.push_back(std::move(kept));
    add(static_cast<Callback&>(reference));
    return reference;
  }

  /// The phases in turn, each after freezing or unfreezing as it says. Throws DataError if an epoch has no batch, Interrupted if the
  /// flag was raised, Diverged if a callback threw it: then the callbacks have cleaned up, and the message says what is kept.
  void fit(std::span<const Phase> phases);
  /// fine_tune_phases, for a body trained elsewhere.
  void fine_tune(int epochs, double base_lr, int freeze_epochs = 1);
  /// from_scratch_phases. Frozen parameters and Adam's state stay as they are, as in fastai.
  void fit_one_cycle(int epochs, double lr);

  /// Evaluates the validation part, as after every epoch: losses that are not finite are counted like others.
  Evaluation evaluate();
  /// Throws NotFinite if validation's logits or losses are not finite; it names the module that wrote the first such number.
  void require_finite_validation();

  /// The building block of a fit, for other kinds of training: one step on a batch at these rates, outside any fit, without recorder and
  /// callbacks; returns its loss, for which it waits. The model must be in training mode.
  double train_batch(const data::Batch& batch, const Rates& rates);
  Batches& training_part() { return *train_; }
  /// Throws DataError if an epoch has no batch.
  void require_batches() const;
  /// In fp16 makes a new scaler, since each fit of fastai has its own.
  void renew_scaler();
  LearnerState snapshot() const;
  /// Restores everything in `state` and clears the gradients. Frozen parameters and the recorder stay as they are now.
  void restore(const LearnerState& state);

  Module& model() { return model_; }
  const ModelInfo& info() const { return info_; }
  const Recorder& recorder() const { return recorder_; }
  Optimizer& optimizer() { return *optimizer_; }
  /// Null except in fp16.
  const amp::GradScaler* scaler() const { return scaler_ ? &*scaler_ : nullptr; }
  const LearnerOptions& options() const { return options_; }
  /// How often steps so far ran eagerly, were recorded or replayed.
  const Replayer::Counts& step_counts() const { return training_step_.counts(); }
  int64_t steps() const { return step_; }
  /// The number of started passes over the training part, which keys the loader's random numbers.
  int64_t epochs() const { return epoch_; }

  /// About how long these phases take, in seconds, without loading: times a training step and a validation batch on noise. Changes
  /// nothing.
  double estimate_seconds(std::span<const Phase> phases, int64_t batch_size, int resize);

 private:
  using Parts = std::pair<std::unique_ptr<Batches>, std::unique_ptr<Batches>>;
  Learner(Module& model, Parts parts, ModelInfo info, LearnerOptions options);
  static Parts parts_of(const Module& model, std::shared_ptr<const data::Dataset> dataset, const LearnerOptions& options);
  friend Learner make_learner(Module& model, std::shared_ptr<const data::Dataset> dataset, ModelInfo info, const LearnerOptions& options);
  void run_phases(std::span<const Phase> phases, bool freezing);
  void run_fit(const Phase& phase);
  Verdict run_epoch(const Phase& phase, int epoch);
  void train_epoch(const Phase& phase, int epoch);
  Tensor start_step(const data::Batch& batch, const Rates& rates);
  void record(const std::vector<LateLosses::Loss>& losses);
  amp::GradScaler* step_scaler() { return scaler_ ? &*scaler_ : nullptr; }
  Tensor training_input(const data::Batch& batch) const;
  Evaluation validate(const EvaluateOptions& options);
  std::vector<double> measured(const Evaluation& evaluation) const;
  double time_training_step(const Tensor& input, std::span<const int64_t> labels);
  double time_validation_batch(const Tensor& input);
  EvaluateOptions evaluate_options() const;
  std::string where() const;
  std::string put_in_order();

  Module& model_;
  std::unique_ptr<Batches> train_, valid_;
  ModelInfo info_;
  LearnerOptions options_;
  Placement placement_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<amp::GradScaler> scaler_;
  TrainingStep training_step_;
  LateLosses losses_;
  Recorder recorder_;
  std::vector<Callback*> callbacks_;
  std::vector<std::unique_ptr<Callback>> own_callbacks_;
  int64_t step_ = 0;   // of the run
  int64_t epoch_ = 0;  // of the run: keys the loader's random numbers
  Phase phase_;        // the running one, for messages
  int phase_epoch_ = 0;
};

/// A learner over a data set's two parts. scan() it first.
Learner make_learner(Module& model, std::shared_ptr<const data::Dataset> dataset, ModelInfo info, const LearnerOptions& options = {});

}  // namespace mirilla::nn
