// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "nn/train/recorder.h"

namespace mirilla::nn {

class Learner;

/// The plan of a fit.
struct FitPlan {
  int fit = 0;
  int epochs = 0;
  bool frozen = false;
  int64_t train_batches = 0;  // per epoch
  int64_t valid_batches = 0;
  int64_t train_pictures = 0;  // per epoch, without the dropped batch
  int64_t valid_pictures = 0;
  std::vector<std::string> metrics = {};  // names of those beside accuracy
};

struct BatchReport {
  int epoch = 0;
  int64_t iteration = 0;   // within the epoch
  int64_t pictures = 0;    // of this batch
  double train_loss = 0;   // smoothed over the losses that have arrived; NaN in validation
  bool loss_known = true;  // false in validation, and before the first loss of the fit has arrived
};

enum class Verdict { go_on, stop };

/// Training can give nothing finite any more. Thrown by a callback, with the reason as a clause, it ends the run; the learner's
/// error is then a sentence that also says what is kept.
struct Diverged : Error {
  using Error::Error;
};

/// A receiver of a fit's events. Events come in the order of the declarations below; each goes to all callbacks in the order of their Order
/// (in the order of adding, among equals) before the next event.
class Callback {
 public:
  enum class Order { show, save, stop, graph };

  virtual ~Callback() = default;
  virtual Order order() const = 0;

  /// It was added to this learner, which outlives the fits.
  virtual void join(Learner& learner) { static_cast<void>(learner); }

  virtual void begin_fit(const FitPlan& plan) { static_cast<void>(plan); }
  virtual void begin_epoch(int epoch) { static_cast<void>(epoch); }
  virtual void after_batch(const BatchReport& report) { static_cast<void>(report); }
  virtual void begin_validation() {}
  virtual void after_validation_batch(const BatchReport& report) { static_cast<void>(report); }
  /// A single `stop` ends the fit after all callbacks have seen the epoch.
  virtual Verdict after_epoch(const EpochRow& row) {
    static_cast<void>(row);
    return Verdict::go_on;
  }
  /// At the end of every fit, also if it stopped early, but not if it was interrupted or failed.
  virtual void after_fit() {}
  /// Ctrl-C, or Diverged: cleans up, and returns a clause that says what is kept ("the best model so far ... is in FILE"); "" for nothing
  /// to say.
  virtual std::string on_interrupt() { return {}; }
};

}  // namespace mirilla::nn
