// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/pictures/picture.h"
#include "nn/train/learner.h"

namespace mirilla::nn {

struct LrFindOptions {
  double start_lr = 1e-7;
  double end_lr = 10;
  int iterations = 100;        // fastai's num_it
  bool stop_at_blowup = true;  // fastai's stop_div: end when the smoothed loss is above 4 times its smallest so far
  /// Adam's beta1. Empty: that of the learner's last step, .9 before its first, as kept by fastai's optimizer.
  std::optional<double> momentum = std::nullopt;
  /// Called after each iteration.
  std::function<void(int64_t done, int64_t iterations, double loss)> progress = {};
};

/// A rate suggested by a rule, and the point of the curve that the plot shows for it.
struct LrSuggestion {
  std::string rule;
  std::optional<double> lr;  // empty: the curve is too short for the rule
  double at_lr = 0;          // the position of the dot; `minimum` suggests a tenth of it
  double at_loss = 0;
};

/// One entry per iteration, in order.
struct LrFindResult {
  std::vector<double> lrs;
  std::vector<double> losses;      // smoothed as in the recorder
  std::vector<double> raw_losses;  // each batch's own
  bool blew_up = false;            // it ended before all iterations
};

/// The rate of iteration i of n: start (end / start)^(i / n). The end itself is never reached. [fastai.callback.schedule.SchedExp]
double lr_find_rate(const LrFindOptions& options, int iteration);

/// A mock training with rates that grow from 1e-7 to 10: one rate for all groups, momentum unscheduled, no validation; frozen parameters
/// stay frozen. It uses the batches and the random numbers that a fit would use first, over as many epochs as it needs, and in half
/// precision a separate scaler. Afterwards, also after an exception, the learner has the same bits as before: weights, running statistics,
/// Adam's state, scaler, counters, so that a fit gives the same as without lr_find (fastai restores weights and optimizer, not the
/// random numbers); its recorder and callbacks get no events. Throws UsageError for fewer than 6 iterations or rates that do not grow from
/// above 0, DataError where an epoch has no batch, Interrupted if the learner's flag was raised.
///                                                                      [fastai.callback.schedule.LRFinder, fastai.learner.Learner.lr_find]
LrFindResult lr_find(Learner& learner, const LrFindOptions& options = {});

/// fastai's rules to suggest a rate, each on a curve cut by suggest(). They compute in f32, like fastai's curves. lr is
/// empty for a curve without points, of fewer than 2 for steep, of fewer than 16 for slide: fastai fails there.

/// A point in the longest valley, the longest strictly falling subsequence of the losses (the first to reach that length L). Where it ends
/// at e its start is taken as e - L, one before its first point, and with s = L / 3 the index is e - L + int(s) + int(s / 2); -1 is the
/// last, as in Python. L = 1 gives index 0.                                                       [fastai.callback.schedule.valley]
LrSuggestion valley(std::span<const double> lrs, std::span<const double> losses);
/// From the right, two points 15 apart slide left while the slopes of the loss (numpy.gradient, one unit per point) under them differ by
/// more than .005; the result is the left one's rate where they stop.
/// [fastai.callback.schedule.slide]
LrSuggestion slide(std::span<const double> lrs, std::span<const double> losses);
/// A tenth of the rate of the smallest loss.                                                    [fastai.callback.schedule.minimum]
LrSuggestion minimum(std::span<const double> lrs, std::span<const double> losses);
/// Where the loss falls steepest over ln(lr), the left of the two points.                       [fastai.callback.schedule.steep]
LrSuggestion steep(std::span<const double> lrs, std::span<const double> losses);

/// The four's names in fastai's order: valley, slide, minimum, steep.
std::span<const std::string_view> lr_rules();
/// The rules of these names on the curve without its first tenth of `iterations` and its last 5 points, cut at the first NaN. Throws
/// UsageError for an unknown rule. [fastai.learner.Learner.lr_find]
std::vector<LrSuggestion> suggest(const LrFindResult& result, int iterations, std::span<const std::string> rules);
/// "SuggestedLRs(valley=0.0008317637839354575, steep=None)", as fastai's named tuple prints.
std::string to_string(std::span<const LrSuggestion> suggestions);

/// The smoothed losses without the last 5 over the rates, which grow by equal factors, and one dot per suggestion.
/// [fastai.callback.schedule.Recorder.plot_lr_find]
data::Picture draw_lr_find(const LrFindResult& result, std::span<const LrSuggestion> suggestions);
/// "iteration,lr,loss,smoothed_loss" and one line per iteration. Written whole or not at all. Throws Error if it cannot be written.
void write_lr_find(const LrFindResult& result, const std::filesystem::path& path);

}  // namespace mirilla::nn
