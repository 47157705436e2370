// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include "nn/run/evaluate.h"

namespace mirilla::nn {

/// A number that says how good an evaluation is, under the name that tables and files show.
struct Metric {
  std::string name;
  std::function<double(const Evaluation&)> of;
};

/// Evaluation::accuracy: what a learner always shows.                                               [sklearn.metrics.accuracy_score]
Metric accuracy();
/// The mean over the classes that have pictures of each one's share that was found.          [sklearn.metrics.balanced_accuracy_score]
Metric balanced_accuracy();

}  // namespace mirilla::nn
