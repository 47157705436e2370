// SPDX-License-Identifier: MIT
#include "nn/train/callbacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/draw/plot.h"
#include "data/write/png_write.h"
#include "kernels/core/error.h"
#include "nn/files/model_tensors.h"
#include "nn/train/divergence_hint.h"
#include "nn/train/learner.h"

namespace mirilla::nn {

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";  // without its possible sign
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

bool BestTracker::is_new_best(double valid_loss) {
  if (!(valid_loss < best_)) return false;
  best_ = valid_loss;
  return true;
}

namespace {

// A negative variance recovers: each step moves it a tenth towards the batch's variance.
bool never_mends(std::span<const weights::Flaw> flaws) {
  return std::any_of(flaws.begin(), flaws.end(), [](const weights::Flaw& flaw) { return flaw.nan + flaw.infinite > 0; });
}

}  // namespace

EarlyStopping::EarlyStopping(Console& console, int patience) : EarlyStopping(patience) { console_ = console_of(console); }

EarlyStopping::EarlyStopping(int patience) : patience_(patience) {
  if (patience < 1) throw UsageError(fmt::format("expected a patience of at least 1 epoch, got {}", patience));
}

void EarlyStopping::begin_fit(const FitPlan&) {
  tracker_.reset();
  wait_ = 0;
  stopped_ = false;
}

Verdict EarlyStopping::after_epoch(const EpochRow& row) {
  if (tracker_.is_new_best(row.valid_loss)) {
    wait_ = 0;
    return Verdict::go_on;
  }
  if (++wait_ < patience_) return Verdict::go_on;
  if (console_) console_->line(fmt::format("No improvement since epoch {}: early stopping", row.epoch - wait_));
  stopped_ = true;
  return Verdict::stop;
}

SaveBest::SaveBest(Console& console, Module& model, ModelInfo info, std::filesystem::path file)
    : console_(console_of(console)), model_(&model), info_(std::move(info)), file_(std::move(file)) {}

void SaveBest::join(Learner& learner) {
  if (model_) return;  // was given one
  model_ = &learner.model();
  info_ = learner.info();
}

void SaveBest::say(std::string_view line) const {
  if (console_) console_->line(line);
}

void SaveBest::begin_fit(const FitPlan&) {
  tracker_.reset();
  saved_in_fit_ = false;
}

Verdict SaveBest::after_epoch(const EpochRow& row) {
  finished_epoch_ = true;
  if (!tracker_.would_be_best(row.valid_loss)) return Verdict::go_on;
  if (const std::vector<weights::Flaw> flaws = flaws_of(*model_); !flaws.empty()) {
    const std::string what = weights::describe(flaws);
    say(fmt::format("Epoch {} has the best valid_loss, {}, and is not saved: {}", row.epoch, python_float(row.valid_loss), what));
    if (never_mends(flaws)) throw Diverged(what, kSmallerRate);
    return Verdict::go_on;
  }
  tracker_.is_new_best(row.valid_loss);
  say(fmt::format("Better model found at epoch {} with valid_loss value: {}.", row.epoch, python_float(row.valid_loss)));
  save_model(file_, *model_, info_);
  saved_ = saved_in_fit_ = true;
  row_ = row;
  return Verdict::go_on;
}

void SaveBest::after_fit() {
  if (saved_in_fit_) {
    load_weights(*model_, file_);
    return;
  }
  say(fmt::format("No epoch of this fit had a finite valid_loss: the weights stay as they are, and {} {}", file_.string(),
                  saved_ ? "keeps the best model of the previous fit" : "was not written"));
}

std::string SaveBest::on_interrupt() {
  if (!saved_) return finished_epoch_ ? "no epoch produced a model to save" : "no epoch was finished, so no model was saved";
  load_weights(*model_, file_);
  return fmt::format("the best model so far (epoch {}{}, valid_loss {:.6f}, accuracy {:.4f}) is in {}", row_.epoch,
                     saved_in_fit_ ? "" : " of the previous fit", row_.valid_loss, row_.accuracy, file_.string());
}

bool StopDiverged::saw_bad_loss() {
  const Recorder& recorder = learner_->recorder();
  bool bad = false;
  for (; looked_ < recorder.known_steps(); ++looked_) bad = bad || !std::isfinite(recorder.steps()[looked_].loss);
  return bad;
}

void StopDiverged::check_values() const {
  std::vector<weights::Flaw> flaws = flaws_of(learner_->model());
  std::erase_if(flaws, [](const weights::Flaw& flaw) { return !never_mends(std::span(&flaw, 1)); });
  if (!flaws.empty()) throw Diverged(weights::describe(flaws), kSmallerRate);
}

void StopDiverged::check_scale() const {
  const amp::GradScaler* const scaler = learner_->scaler();
  constexpr double kUseless = 0x1p-24;  // the smallest f16: every gradient below 1 becomes 0
  if (scaler && scaler->scale() <= kUseless && scaler->overflowed())
    throw Diverged("gradients overflow fp16 with every loss scale, so training can take no further step",
                   "use bf16 or fp32, which have a larger range");
}

void StopDiverged::after_batch(const BatchReport&) {
  if (!saw_bad_loss()) return;
  check_values();
  check_scale();
}

Verdict StopDiverged::after_epoch(const EpochRow&) {
  check_values();  // also if all losses are finite: an infinite variance makes its channel a constant
  check_scale();
  return Verdict::go_on;
}

namespace {

std::vector<data::Series> loss_series(const Recorder& recorder) {
  data::Series train{.name = "train"};
  for (size_t i = 0; i < recorder.steps().size(); ++i) {
    train.x.push_back(static_cast<double>(i + 1));
    train.y.push_back(recorder.steps()[i].train_loss);
  }
  data::Series valid{.name = "valid", .dots = true};
  for (const EpochRow& row : recorder.epochs()) {
    valid.x.push_back(static_cast<double>(row.step));
    valid.y.push_back(row.valid_loss);
  }
  return {std::move(train), std::move(valid)};
}

}  // namespace

LossGraph::LossGraph(Console& console, const Recorder& recorder, std::filesystem::path png, bool ascii)
    : console_(console_of(console)), recorder_(&recorder), png_(std::move(png)), ascii_(ascii) {}

void LossGraph::join(Learner& learner) { recorder_ = &learner.recorder(); }

Verdict LossGraph::after_epoch(const EpochRow&) {
  if (png_.empty()) return Verdict::go_on;
  const data::Picture picture = data::plot(loss_series(*recorder_), {.title = "loss", .x_label = "step", .y_label = "loss"});
  data::write_png(png_.string(), picture);
  return Verdict::go_on;
}

void LossGraph::after_fit() {
  constexpr int kWidest = 72, kNarrowest = 24;
  if (!console_ || !console_->terminal() || console_->columns() < kNarrowest) return;
  std::string text = data::terminal_plot(loss_series(*recorder_), {.width = std::min(console_->columns(), kWidest), .ascii = ascii_});
  if (!text.empty() && text.back() == '\n') text.pop_back();
  console_->line(text);
}

}  // namespace mirilla::nn
