// SPDX-License-Identifier: MIT
#include "nn/train/lr_find.h"

#include <cmath>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

constexpr int kFewest = 6;              // fastai's
constexpr double kBlowUp = 4;           // times the smallest smoothed loss
constexpr double kUsualMomentum = 0.9;  // fastai's Adam, before a schedule changes it

void check(const LrFindOptions& options) {
  if (options.iterations < kFewest)
    throw UsageError(fmt::format("lr_find: expected at least {} iterations, got {}", kFewest, options.iterations), "100 are usual");
  const bool grows = options.start_lr > 0 && options.start_lr < options.end_lr && std::isfinite(options.end_lr);
  if (!grows)
    throw UsageError(fmt::format("lr_find: expected rates that grow from above 0, got {} to {}", options.start_lr, options.end_lr),
                     "1e-7 to 10 is usual");
}

double momentum_of(const Learner& learner, const LrFindOptions& options) {
  if (options.momentum) return *options.momentum;
  const std::vector<StepRow>& steps = learner.recorder().steps();
  return steps.empty() ? kUsualMomentum : steps.back().rates.momentum;
}

// The training part's batches, epoch after epoch, as in a fit.
class EndlessBatches {
 public:
  EndlessBatches(Batches& batches, int64_t epoch) : batches_(batches), epoch_(epoch) { batches_.start(epoch_); }
  const data::Batch& next() {
    const data::Batch* batch = batches_.next();
    if (!batch) {
      batches_.start(++epoch_);
      batch = batches_.next();
    }
    if (!batch) throw DataError("an epoch of the training part ended before its first batch");
    return *batch;
  }

 private:
  Batches& batches_;
  int64_t epoch_;
};

LrFindResult mock_training(Learner& learner, const LrFindOptions& options) {
  LrFindResult result;
  Recorder recorder;  // for its smoothing, separate from the learner's
  recorder.begin_fit();
  Rates rates{.lr = {}, .momentum = momentum_of(learner, options)};
  double best = std::numeric_limits<double>::infinity();
  EndlessBatches batches(learner.training_part(), learner.epochs());
  const std::atomic<bool>* interrupt = learner.options().interrupt;
  for (int i = 0; i < options.iterations; ++i) {
    if (interrupt && interrupt->load(std::memory_order_relaxed))
      throw Interrupted(fmt::format("interrupted after {} of {} iterations; the network is as it was before", i, options.iterations));
    rates.lr.assign(learner.optimizer().groups().size(), lr_find_rate(options, i));
    const double raw = learner.train_batch(batches.next(), rates);
    recorder.add(recorder.begin_step(0, rates), raw);
    const double loss = recorder.train_loss();
    result.lrs.push_back(rates.lr.back());
    result.losses.push_back(loss);
    result.raw_losses.push_back(raw);
    if (options.progress) options.progress(i + 1, options.iterations, loss);
    if (loss < best) best = loss;
    if (options.stop_at_blowup && loss > kBlowUp * best && i + 1 < options.iterations) {  // always false for a NaN
      result.blew_up = true;
      break;
    }
  }
  return result;
}

}  // namespace

double lr_find_rate(const LrFindOptions& options, int iteration) {
  const double share = static_cast<double>(iteration) / options.iterations;
  return options.start_lr * std::pow(options.end_lr / options.start_lr, share);
}

LrFindResult lr_find(Learner& learner, const LrFindOptions& options) {
  check(options);
  learner.require_batches();
  const LearnerState before = learner.snapshot();
  try {
    learner.renew_scaler();
    learner.model().train();
    LrFindResult result = mock_training(learner, options);
    learner.restore(before);
    return result;
  } catch (...) {
    learner.restore(before);
    throw;
  }
}

}  // namespace mirilla::nn
