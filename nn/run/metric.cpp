// SPDX-License-Identifier: MIT
#include "nn/run/metric.h"

#include <limits>

namespace mirilla::nn {

Metric accuracy() {
  return {.name = "accuracy", .of = [](const Evaluation& evaluation) { return evaluation.accuracy; }};
}

Metric balanced_accuracy() {
  return {.name = "balanced", .of = [](const Evaluation& evaluation) {
            double sum = 0;
            int64_t with_pictures = 0;
            for (int64_t actual = 0; actual < evaluation.classes; ++actual) {
              const int64_t* const row = evaluation.confusion.data() + actual * evaluation.classes;
              int64_t pictures = 0;
              for (int64_t predicted = 0; predicted < evaluation.classes; ++predicted) pictures += row[predicted];
              if (pictures == 0) continue;
              sum += static_cast<double>(row[actual]) / static_cast<double>(pictures);
              ++with_pictures;
            }
            return with_pictures > 0 ? sum / static_cast<double>(with_pictures) : std::numeric_limits<double>::quiet_NaN();
          }};
}

}  // namespace mirilla::nn
