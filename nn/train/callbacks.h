// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

#include "nn/files/model_file.h"
#include "nn/modules/module.h"
#include "nn/train/callback.h"
#include "nn/train/console.h"
#include "nn/train/recorder.h"

namespace mirilla::nn {

class Learner;

/// "07:31", from one hour on "1:07:31"; whole seconds, truncated; 0 for NaN and negative values. [fastcore.utils.format_time]
std::string format_time(double seconds);
/// The table's head, and a row: names padded to 8 characters, two spaces between, floats as %.6f. [fastprogress.ConsoleMasterBar]
/// A float too wide for its column is written as 1.23457e+30, so that the columns stay separate and below their names; fastai's columns run
/// together.
/// `metrics` are the names of columns beside accuracy, whose values are the row's.
std::string table_head(std::span<const std::string> metrics = {});
std::string table_row(const EpochRow& row, std::span<const std::string> metrics = {});
/// As Python prints a float: the shortest text that reads back as the same, with ".0" where it would look whole. inf, nan. [float.__repr__]
std::string python_float(double value);

/// fastai's table: one line per finished epoch, with its head before the first of a fit; on a terminal with a bar below: share, pictures/s,
/// time left of the fit, train_loss. [fastai.callback.progress.ProgressCallback]
class Table final : public Callback {
 public:
  explicit Table(Console& console) : console_(console_of(console)) {}
  /// On a stream that is no terminal.
  explicit Table(std::ostream& out) : console_(console_of(out)) {}
  Order order() const override { return Order::show; }
  void begin_fit(const FitPlan& plan) override;
  void begin_epoch(int epoch) override;
  void after_batch(const BatchReport& report) override;
  void begin_validation() override;
  void after_validation_batch(const BatchReport& report) override;
  Verdict after_epoch(const EpochRow& row) override;
  void after_fit() override;
  std::string on_interrupt() override;

 private:
  using Clock = std::chrono::steady_clock;
  void show(std::string_view part, const BatchReport& report, int64_t batches);

  std::shared_ptr<Console> console_;
  FitPlan plan_;
  int epoch_ = 0;
  int64_t pictures_ = 0;  // since part_start_, when this epoch's training or validation began
  Clock::time_point fit_start_, part_start_, shown_;
};

/// Whether a validation loss is the best of its fit: strictly smaller than all earlier ones; NaN never is.
/// [fastai.callback.tracker.TrackerCallback]
class BestTracker {
 public:
  void reset() { best_ = std::numeric_limits<double>::infinity(); }
  /// The same without recording it.
  bool would_be_best(double valid_loss) const { return std::isfinite(valid_loss) && valid_loss < best_; }
  bool is_new_best(double valid_loss);
  double best() const { return best_; }

 private:
  double best_ = std::numeric_limits<double>::infinity();
};

/// Stops a fit after `patience` epochs without a new best, with fastai's line. [fastai.callback.tracker.EarlyStoppingCallback]
class EarlyStopping final : public Callback {
 public:
  /// Throws UsageError for a patience below 1.
  EarlyStopping(Console& console, int patience = 3);
  /// Says nothing.
  explicit EarlyStopping(int patience = 3);
  Order order() const override { return Order::stop; }
  void begin_fit(const FitPlan& plan) override;
  Verdict after_epoch(const EpochRow& row) override;
  bool stopped() const { return stopped_; }

 private:
  std::shared_ptr<Console> console_;  // none: says nothing
  int patience_;
  BestTracker tracker_;
  int wait_ = 0;
  bool stopped_ = false;
};

/// Saves the model to a file whenever an epoch is the best of its fit, with fastai's line, and loads the fit's best back when the fit ends.
/// The file is replaced as a whole, so it always holds a complete model. The best starts again with each fit: the first epoch of the next
/// replaces the file. [fastai.callback.tracker.SaveModelCallback] If no epoch of a fit was a best one (all NaN), the weights stay as
/// they are, the file too, and a line says so; fastai loads the old file in that case.
///
/// A model whose weights or running statistics are not finite, or whose variances are negative, is never saved, however good its loss: a
/// line says so, and the epoch does not count as the best. Values that are not finite never recover, so the run ends with Diverged.
class SaveBest final : public Callback {
 public:
  SaveBest(Console& console, Module& model, ModelInfo info, std::filesystem::path file);
  /// The model of the learner that it is added to. Says nothing.
  explicit SaveBest(std::filesystem::path file) : file_(std::move(file)) {}
  Order order() const override { return Order::save; }
  void join(Learner& learner) override;
  void begin_fit(const FitPlan& plan) override;
  Verdict after_epoch(const EpochRow& row) override;
  void after_fit() override;
  /// Loads the file back, if this run wrote it.
  std::string on_interrupt() override;

  /// Whether this run wrote the file, and which epoch it contains; whether its last fit did.
  bool saved() const { return saved_; }
  bool saved_in_last_fit() const { return saved_in_fit_; }
  const EpochRow& saved_row() const { return row_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  void say(std::string_view line) const;

  std::shared_ptr<Console> console_;  // none: says nothing
  Module* model_ = nullptr;
  ModelInfo info_;
  std::filesystem::path file_;
  BestTracker tracker_;
  bool saved_ = false;
  bool saved_in_fit_ = false;
  bool finished_epoch_ = false;
  EpochRow row_;
};

/// Ends the run with Diverged if no model that may be saved can follow. A loss that is not finite only triggers the check: then,
/// and at each epoch's end, the weights and running statistics are checked, and the run ends if one of them is not finite, since no step
/// repairs that. In fp16, where a step that overflows is skipped, it also ends if the scale has fallen to 2^-24, at which every gradient
/// below 1 is lost, and gradients still overflow. Costs one pass over the weights per epoch, and nothing per step as long as losses are
/// finite. [fastai.callback.tracker.TerminateOnNaNCallback, which ends the fit at the first such loss]
class StopDiverged final : public Callback {
 public:
  StopDiverged() = default;
  /// `learner` is the one that this callback is added to.
  explicit StopDiverged(Learner& learner) : learner_(&learner) {}
  Order order() const override { return Order::stop; }
  void join(Learner& learner) override { learner_ = &learner; }
  void after_batch(const BatchReport& report) override;
  Verdict after_epoch(const EpochRow& row) override;

 private:
  bool saw_bad_loss();
  void check_values() const;
  void check_scale() const;

  Learner* learner_ = nullptr;
  size_t looked_ = 0;  // steps whose losses were checked
};

/// Draws the run's losses after every epoch, including the one that stopped the run: train_loss per step and valid_loss at its epoch's last
/// step, y from 0. Writes a PNG each time (no file for an empty path), and on a terminal the plot as text after each fit.
/// [fastai.callback.progress.ShowGraphCallback]
class LossGraph final : public Callback {
 public:
  LossGraph(Console& console, const Recorder& recorder, std::filesystem::path png, bool ascii = false);
  /// Of the learner that it is added to. No text.
  explicit LossGraph(std::filesystem::path png) : png_(std::move(png)) {}
  Order order() const override { return Order::graph; }
  void join(Learner& learner) override;
  Verdict after_epoch(const EpochRow& row) override;
  void after_fit() override;

 private:
  std::shared_ptr<Console> console_;  // none: no text
  const Recorder* recorder_ = nullptr;
  std::filesystem::path png_;
  bool ascii_ = false;
};

}  // namespace mirilla::nn
