// SPDX-License-Identifier: MIT
#include "nn/train/recorder.h"

#include <fmt/format.h>

#include <limits>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kSmoothing = 0.98;  // fastai's beta

}  // namespace

void Recorder::begin_fit() {
  ++fits_;
  train_loss_ = kNaN;
}

int64_t Recorder::begin_step(int epoch, const Rates& rates) {
  if (fits_ == 0) throw Error("recorder: a step began before any fit");
  steps_.push_back({.fit = fits_ - 1, .epoch = epoch, .rates = rates, .loss = kNaN, .train_loss = kNaN});
  arrived_.push_back(false);
  return static_cast<int64_t>(steps_.size()) - 1;
}

void Recorder::add(int64_t step, double loss) {
  if (step < 0 || step >= static_cast<int64_t>(steps_.size()) || arrived_[static_cast<size_t>(step)])
    throw Error(fmt::format("recorder: no loss was expected for step {} of {}", step, steps_.size()));
  steps_[static_cast<size_t>(step)].loss = loss;
  arrived_[static_cast<size_t>(step)] = true;
  advance();
}

void Recorder::advance() {
  for (; next_ < steps_.size() && arrived_[next_]; ++next_) {
    StepRow& row = steps_[next_];
    if (row.fit != smoothed_fit_) {
      smoothed_fit_ = row.fit;
      value_ = 0;
      remaining_ = 1;
    }
    value_ = kSmoothing * value_ + (1 - kSmoothing) * row.loss;
    remaining_ *= kSmoothing;
    row.train_loss = value_ / (1 - remaining_);
    if (row.fit == fits_ - 1) train_loss_ = row.train_loss;
  }
}

void Recorder::add_epoch(EpochRow row) {
  row.step = static_cast<int64_t>(steps_.size());
  epochs_.push_back(row);
}

const EpochRow* Recorder::best() const {
  const EpochRow* best = nullptr;
  for (const EpochRow& row : epochs_) {
    if (!(row.valid_loss == row.valid_loss)) continue;  // NaN
    if (!best || row.fit > best->fit || row.valid_loss < best->valid_loss) best = &row;
  }
  return best;
}

namespace {

// Six decimals; NaN without its possible sign.
std::string number(double value) { return value == value ? fmt::format("{:.6f}", value) : "nan"; }

}  // namespace

void write_history(const Recorder& recorder, const std::filesystem::path& path, std::span<const std::string> metrics) {
  std::string text = "fit,epoch,train_loss,valid_loss,accuracy,seconds,step";
  for (const std::string& metric : metrics) text += fmt::format(",{}", metric);
  text += '\n';
  for (const EpochRow& row : recorder.epochs()) {
    text += fmt::format("{},{},{},{},{},{:.3f},{}", row.fit, row.epoch, number(row.train_loss), number(row.valid_loss),
                        number(row.accuracy), row.seconds, row.step);
    for (size_t i = 0; i < metrics.size(); ++i) text += fmt::format(",{}", number(row.metrics.at(i)));
    text += '\n';
  }
  write_atomically(path, text);
}

}  // namespace mirilla::nn
