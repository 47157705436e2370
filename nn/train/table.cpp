// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "nn/train/callbacks.h"

namespace mirilla::nn {

namespace {

constexpr size_t kMinimumWidth = 8, kGap = 2;
// Cost of validating a picture, relative to training on it: a forward pass, without the two products of the backward pass.
constexpr double kValidationShare = 1.0 / 3;
constexpr std::chrono::milliseconds kRefresh{100};

std::string bar(double share, int width) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * width);
  return fmt::format("[{:#<{}}{:-<{}}]", "", full, "", width - full);
}

double seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

size_t width_of(std::string_view column) { return std::max(column.size(), kMinimumWidth); }

std::vector<std::string> columns_with(std::span<const std::string> metrics) {
  std::vector<std::string> columns{"epoch", "train_loss", "valid_loss", "accuracy"};
  columns.insert(columns.end(), metrics.begin(), metrics.end());
  columns.emplace_back("time");
  return columns;
}

// Six decimals, as in fastai, if that leaves a blank before the next column; else as many digits as fit: 1.23457e+30.
std::string number_cell(double value, std::string_view column) {
  const size_t room = width_of(column) + kGap - 1;
  if (std::isnan(value)) return "nan";  // without its possible sign
  std::string text = fmt::format("{:.6f}", value);
  for (int digits = 6; text.size() > room && digits >= 0; --digits) text = fmt::format("{:.{}e}", value, digits);
  return text;
}

}  // namespace

std::string format_time(double seconds) {
  constexpr double kMost = 1e15;  // also used for infinity: a whole number that fits an int64
  const auto t = static_cast<int64_t>(seconds > 0 ? std::min(seconds, kMost) : 0);
  if (t >= 3600) return fmt::format("{}:{:02d}:{:02d}", t / 3600, t / 60 % 60, t % 60);
  return fmt::format("{:02d}:{:02d}", t / 60, t % 60);
}

std::string table_head(std::span<const std::string> metrics) {
  std::string line;
  for (const std::string& column : columns_with(metrics))
    line += fmt::format("{}{:<{}}", line.empty() ? "" : "  ", column, width_of(column));
  return line;
}

std::string table_row(const EpochRow& row, std::span<const std::string> metrics) {
  const std::vector<std::string> columns = columns_with(metrics);
  std::vector<double> numbers{row.train_loss, row.valid_loss, row.accuracy};
  for (size_t i = 0; i < metrics.size(); ++i) numbers.push_back(row.metrics.at(i));
  std::vector<std::string> cells{fmt::format("{}", row.epoch)};
  for (size_t i = 0; i < numbers.size(); ++i) cells.push_back(number_cell(numbers[i], columns[i + 1]));
  cells.push_back(format_time(row.seconds));
  std::string line;  // each cell is followed by its gap, also the last one, as in fastprogress
  for (size_t i = 0; i < cells.size(); ++i)
    line += fmt::format("{:<{}}", cells[i], std::max(width_of(columns[i]) + kGap, cells[i].size() + 1));
  return line;
}

void Table::begin_fit(const FitPlan& plan) {
  plan_ = plan;
  fit_start_ = Clock::now();
  console_->line(table_head(plan_.metrics));
}

void Table::begin_epoch(int epoch) {
  epoch_ = epoch;
  part_start_ = Clock::now();
  pictures_ = 0;
}

void Table::after_batch(const BatchReport& report) {
  pictures_ += report.pictures;
  show("train", report, plan_.train_batches);
}

void Table::begin_validation() {
  part_start_ = Clock::now();
  pictures_ = 0;
}

void Table::after_validation_batch(const BatchReport& report) {
  pictures_ += report.pictures;
  show("valid", report, plan_.valid_batches);
}

void Table::show(std::string_view part, const BatchReport& report, int64_t batches) {
  const Clock::time_point now = Clock::now();
  const bool last = report.iteration + 1 == batches;
  if (!console_->terminal() || (!last && now - shown_ < kRefresh)) return;
  shown_ = now;
  const bool validating = part == "valid";
  const double share = batches > 0 ? static_cast<double>(report.iteration + 1) / static_cast<double>(batches) : 1;
  const double train_cost = static_cast<double>(plan_.train_pictures);
  const double epoch_cost = train_cost + kValidationShare * static_cast<double>(plan_.valid_pictures);
  const double in_epoch = validating ? train_cost + share * (epoch_cost - train_cost) : share * train_cost;
  const double done = epoch_ * epoch_cost + in_epoch;
  const double left = done > 0 ? seconds(now - fit_start_) * (plan_.epochs * epoch_cost - done) / done : 0;
  const double rate = static_cast<double>(pictures_) / std::max(seconds(now - part_start_), 1e-3);
  std::string text = fmt::format("epoch {}/{} {} {} {:3.0f}%  {:.0f} img/s  {} left", epoch_ + 1, plan_.epochs, part, bar(share, 20),
                                 100 * share, rate, format_time(left));
  if (!validating && report.loss_known) text += fmt::format("  loss {:.4f}", report.train_loss);
  console_->status(text);
}

Verdict Table::after_epoch(const EpochRow& row) {
  console_->line(table_row(row, plan_.metrics));
  return Verdict::go_on;
}

void Table::after_fit() { console_->clear_status(); }

std::string Table::on_interrupt() {
  console_->clear_status();
  return {};
}

}  // namespace mirilla::nn
