// SPDX-License-Identifier: MIT
#include "nn/train/schedule.h"

#include <cmath>
#include <numbers>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

void check(int groups, int epochs, double lr) {
  if (groups < 1) throw Error(fmt::format("a schedule needs at least one parameter group, got {}", groups));
  if (epochs < 1) throw UsageError(fmt::format("expected at least one epoch, got {}", epochs), "`epochs` 10 is the course's number");
  if (!(lr > 0) || !std::isfinite(lr))
    throw UsageError(fmt::format("expected a positive learning rate, got {}", lr), "`lr` 1e-3 is the course's rate");
}

}  // namespace

double cosine_between(double a, double b, double p) { return a + (1 + std::cos(std::numbers::pi * (1 - p))) * (b - a) / 2; }

Rates OneCycle::at(double position) const {
  const bool rising = position < pct_start || pct_start >= 1;
  const double p = rising ? position / pct_start : (position - pct_start) / (1 - pct_start);
  Rates rates;
  for (const double peak : lr_max)
    rates.lr.push_back(rising ? cosine_between(peak / div, peak, p) : cosine_between(peak, peak / div_final, p));
  rates.momentum = rising ? cosine_between(momentum_first, momentum_middle, p) : cosine_between(momentum_middle, momentum_last, p);
  return rates;
}

double position_of(int epoch, int64_t iteration, int epochs, int64_t iterations) {
  return static_cast<double>(epoch) / epochs + static_cast<double>(iteration) / (static_cast<double>(iterations) * epochs);
}

std::vector<Phase> fine_tune_phases(int groups, int epochs, double base_lr, int freeze_epochs) {
  constexpr double kRatioOfFirstToLast = 100;  // fastai's lr_mult
  check(groups, epochs, base_lr);
  if (freeze_epochs < 0) throw UsageError(fmt::format("expected 0 or more frozen epochs, got {}", freeze_epochs));
  std::vector<Phase> phases;
  if (freeze_epochs > 0) {
    Phase phase{.epochs = freeze_epochs, .frozen = true, .cycle = {.pct_start = 0.99, .div = 25}};
    phase.cycle.lr_max.assign(static_cast<size_t>(groups), base_lr / 10);
    phase.cycle.lr_max.back() = base_lr;
    phases.push_back(phase);
  }
  Phase phase{.epochs = epochs, .frozen = false, .cycle = {.pct_start = 0.3, .div = 5}};
  const double last = base_lr / 2;
  for (int group = 0; group < groups; ++group) {  // fastcore's even_mults
    const double steps_down = groups == 1 ? 0 : static_cast<double>(groups - 1 - group) / (groups - 1);
    phase.cycle.lr_max.push_back(last / std::pow(kRatioOfFirstToLast, steps_down));
  }
  phases.push_back(phase);
  return phases;
}

std::vector<Phase> from_scratch_phases(int groups, int epochs, double lr) {
  check(groups, epochs, lr);
  return {{.epochs = epochs, .frozen = false, .cycle = {.lr_max = std::vector<double>(static_cast<size_t>(groups), lr)}}};
}

}  // namespace mirilla::nn
