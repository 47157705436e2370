// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

namespace mirilla::nn {

/// The rates of an optimizer step: one rate per parameter group, and the momentum (Adam's beta1) of all.
struct Rates {
  std::vector<double> lr;
  double momentum = 0.9;
};

/// From a at p = 0 to b at p = 1 along half a cosine: a + (1 + cos(pi (1 - p))) (b - a) / 2. [fastai.callback.schedule.SchedCos]
double cosine_between(double a, double b, double p);

/// One cycle, as a function of the position in [0,1]: below pct_start the rates rise from lr_max / div to lr_max with p = position /
/// pct_start, then they fall to lr_max / div_final with p = (position - pct_start) / (1 - pct_start), both along cosine_between; the
/// momentum goes from momentum_first to momentum_middle to momentum_last on the same breakpoints. [fastai.callback.schedule.fit_one_cycle]
/// All in double, where fastai computes positions in f32: up to 2.5e-5 relative apart.
struct OneCycle {
  std::vector<double> lr_max;  // one per parameter group
  double pct_start = 0.25;
  double div = 25;
  double div_final = 1e5;
  double momentum_first = 0.95;
  double momentum_middle = 0.85;
  double momentum_last = 0.95;

  Rates at(double position) const;
};

/// The position of a batch in a fit, set before it: epoch / epochs + iteration / (iterations epochs).
/// [fastai.callback.core.TrainEvalCallback]
double position_of(int epoch, int64_t iteration, int epochs, int64_t iterations);

/// One fit: a number of epochs along one cycle, with all groups except the last frozen or not.
struct Phase {
  int epochs = 1;
  bool frozen = false;
  OneCycle cycle;
};

/// fastai's two fits: frozen for freeze_epochs at (lr/10, ..., lr/10, lr) with pct_start .99 and div 25; then unfrozen for `epochs` at
/// rates in equal ratios from lr/200 to lr/2, with pct_start .3 and div 5. freeze_epochs 0 leaves the first out.
/// [fastai.callback.schedule.fine_tune] Throws UsageError for epochs below 1, negative freeze_epochs or a rate that is not positive.
std::vector<Phase> fine_tune_phases(int groups, int epochs, double base_lr, int freeze_epochs = 1);

/// One fit of all groups at one rate, pct_start .25 and div 25: for a network that was never trained, for which a body at lr/100 would
/// learn nothing.
std::vector<Phase> from_scratch_phases(int groups, int epochs, double lr);

}  // namespace mirilla::nn
