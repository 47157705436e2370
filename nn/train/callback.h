// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "nn/train/recorder.h"

namespace mirilla::nn {

class Learner;

/// What a fit is about to do.
struct FitPlan {
  int fit = 0;
  int epochs = 0;
  bool frozen = false;
  int64_t train_batches = 0;  // an epoch
  int64_t valid_batches = 0;
  int64_t train_pictures = 0;  // an epoch, without the dropped batch
  int64_t valid_pictures = 0;
  std::vector<std::string> metrics = {};  // names of those beside accuracy
};

struct BatchReport {
  int epoch = 0;
  int64_t iteration = 0;   // within the epoch
  int64_t pictures = 0;    // of this batch
  double train_loss = 0;   // smoothed, as far as losses came; NaN in validation
  bool loss_known = true;  // false in validation, and before the first loss of the fit came
};

enum class Verdict { go_on, stop };

/// Nothing finite can come of the training any more. Thrown by a callback, in a clause that says why, it ends the run; what the learner
/// throws then is a sentence that also says what stays.
struct Diverged : Error {
  using Error::Error;
};

/// Something that follows a fit. Events come in the order of the declarations below; each goes to all callbacks in the order of their Order
/// (of their being added, among equals) before the next event.
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
  /// One `stop` ends the fit after all callbacks saw the epoch.
  virtual Verdict after_epoch(const EpochRow& row) {
    static_cast<void>(row);
    return Verdict::go_on;
  }
  /// At the end of every fit, also one that was stopped early; not of one that was interrupted or failed.
  virtual void after_fit() {}
  /// Ctrl-C, or Diverged: puts things in order, and says in a clause what stays ("the best model so far ... is in FILE"); "" for nothing to
  /// say.
  virtual std::string on_interrupt() { return {}; }
};

}  // namespace mirilla::nn
