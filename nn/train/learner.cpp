// SPDX-License-Identifier: MIT
#include "nn/train/learner.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "engine/amp/autocast.h"
#include "engine/tape.h"
#include "kernels/core/error.h"
#include "nn/files/model_tensors.h"
#include "nn/train/divergence_hint.h"
#include "nn/train/freeze.h"

namespace mirilla::nn {

namespace {

using Clock = std::chrono::steady_clock;

// fastai's mean is an f32 in every precision; in f64, which only our checks use, nothing is rounded.
double as_recorded(double loss, DType dtype) { return dtype == DType::f64 ? loss : static_cast<float>(loss); }

// A negative variance counts as finite: training repairs it.
bool is_finite(const Module& model) {
  const std::vector<weights::Flaw> flaws = flaws_of(model);
  return std::all_of(flaws.begin(), flaws.end(), [](const weights::Flaw& flaw) { return flaw.nan + flaw.infinite == 0; });
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Learner::Learner(Module& model, std::unique_ptr<Batches> train, std::unique_ptr<Batches> valid, ModelInfo info, LearnerOptions options)
    : model_(model),
      train_(std::move(train)),
      valid_(std::move(valid)),
      info_(std::move(info)),
      options_(std::move(options)),
      placement_(input_placement(model, options_.precision)),
      optimizer_((options_.optimizer ? options_.optimizer : nn::adam(options_.adam))(model.parameter_groups())),
      training_step_(model, *optimizer_,
                     {.precision = options_.precision,
                      .seed = options_.seed,
                      .classes = static_cast<int64_t>(info_.vocabulary.size()),
                      .loss = options_.loss.get(),
                      .replay = options_.replay}),
      losses_(placement_.device) {
  options_.augment.size = info_.size;
  renew_scaler();
}

void Learner::add(Callback& callback) {
  callback.join(*this);
  callbacks_.push_back(&callback);
  std::stable_sort(callbacks_.begin(), callbacks_.end(), [](const Callback* a, const Callback* b) { return a->order() < b->order(); });
}

void Learner::fit(std::span<const Phase> phases) { run_phases(phases, true); }

void Learner::fine_tune(int epochs, double base_lr, int freeze_epochs) {
  fit(fine_tune_phases(static_cast<int>(optimizer_->groups().size()), epochs, base_lr, freeze_epochs));
}

void Learner::fit_one_cycle(int epochs, double lr) {
  run_phases(from_scratch_phases(static_cast<int>(optimizer_->groups().size()), epochs, lr), false);
}

void Learner::run_phases(std::span<const Phase> phases, bool freezing) {
  require_batches();
  const bool began_finite = is_finite(model_);
  try {
    for (const Phase& phase : phases) {
      if (freezing) freeze_to(model_, *optimizer_, phase.frozen ? -1 : 0);
      run_fit(phase);
    }
  } catch (const Interrupted&) {
    throw Interrupted(fmt::format("interrupted in {}{}", where(), put_in_order()));
  } catch (const Diverged& error) {
    const std::string what_stays = put_in_order();
    throw Diverged(fmt::format("the training diverged in {}: {}{}", where(), error.message(), what_stays),
                   error.hint() == kSmallerRate ? divergence_hint(recorder_, began_finite) : error.hint());
  }
}

void Learner::require_batches() const {
  if (train_->batches_per_epoch() == 0)
    throw DataError(
        "the training part is smaller than one batch, so an epoch would have no step",
        fmt::format("use a smaller `batch_size` than {}; an incomplete last batch is dropped, as in fastai", options_.batch_size));
}

void Learner::run_fit(const Phase& phase) {
  phase_ = phase;
  phase_epoch_ = 0;
  recorder_.begin_fit();
  renew_scaler();  // what the last fit came to says nothing about this one
  FitPlan plan{.fit = recorder_.fits() - 1,
               .epochs = phase.epochs,
               .frozen = phase.frozen,
               .train_batches = train_->batches_per_epoch(),
               .valid_batches = valid_->batches_per_epoch(),
               .train_pictures = train_->pictures_per_epoch(),
               .valid_pictures = valid_->pictures_per_epoch(),
               .metrics = {}};
  for (const Metric& metric : options_.metrics) plan.metrics.push_back(metric.name);
  for (Callback* callback : callbacks_) callback->begin_fit(plan);
  for (int epoch = 0; epoch < phase.epochs; ++epoch)
    if (run_epoch(phase, epoch) == Verdict::stop) break;
  for (Callback* callback : callbacks_) callback->after_fit();
}

std::vector<double> Learner::measured(const Evaluation& evaluation) const {
  std::vector<double> values;
  for (const Metric& metric : options_.metrics) values.push_back(metric.of(evaluation));
  return values;
}

Verdict Learner::run_epoch(const Phase& phase, int epoch) {
  const Clock::time_point start = Clock::now();
  phase_epoch_ = epoch;
  for (Callback* callback : callbacks_) callback->begin_epoch(epoch);
  train_epoch(phase, epoch);
  for (Callback* callback : callbacks_) callback->begin_validation();
  EvaluateOptions validating = evaluate_options();
  validating.after_batch = [&](int64_t iteration, int64_t pictures) {
    const BatchReport report{.epoch = epoch,
                             .iteration = iteration,
                             .pictures = pictures,
                             .train_loss = std::numeric_limits<double>::quiet_NaN(),
                             .loss_known = false};
    for (Callback* callback : callbacks_) callback->after_validation_batch(report);
  };
  const Evaluation evaluation = validate(validating);
  recorder_.add_epoch({.fit = recorder_.fits() - 1,
                       .epoch = epoch,
                       .train_loss = recorder_.train_loss(),
                       .valid_loss = as_recorded(evaluation.loss, placement_.dtype),
                       .accuracy = evaluation.accuracy,
                       .seconds = seconds_since(start),
                       .metrics = measured(evaluation)});
  Verdict verdict = Verdict::go_on;
  for (Callback* callback : callbacks_)
    if (callback->after_epoch(recorder_.epochs().back()) == Verdict::stop) verdict = Verdict::stop;
  return verdict;
}

void Learner::train_epoch(const Phase& phase, int epoch) {
  model_.train();
  train_->start(epoch_++);
  const int64_t iterations = train_->batches_per_epoch();
  int64_t iteration = 0;
  while (const data::Batch* batch = train_->next()) {
    if (options_.interrupt && options_.interrupt->load(std::memory_order_relaxed)) throw Interrupted("interrupted while training");
    const Rates rates = phase.cycle.at(position_of(epoch, iteration, phase.epochs, iterations));
    const int64_t step = recorder_.begin_step(epoch, rates);
    losses_.send(step, start_step(*batch, rates));
    record(losses_.arrived());
    const BatchReport report{.epoch = epoch,
                             .iteration = iteration,
                             .pictures = batch->n,
                             .train_loss = recorder_.train_loss(),
                             .loss_known = recorder_.has_train_loss()};
    for (Callback* callback : callbacks_) callback->after_batch(report);
    ++iteration;
  }
  record(losses_.all());
}

void Learner::record(const std::vector<LateLosses::Loss>& losses) {
  for (const LateLosses::Loss& loss : losses) recorder_.add(loss.step, loss.value);
}

double Learner::train_batch(const data::Batch& batch, const Rates& rates) { return start_step(batch, rates).item(); }

// The labels are checked here, on the host: the device would not notice wrong ones, or only later.
Tensor Learner::start_step(const data::Batch& batch, const Rates& rates) {
  const auto classes = static_cast<int64_t>(info_.vocabulary.size());
  const auto outside = std::find_if(batch.labels.begin(), batch.labels.end(), [&](int64_t label) { return label < 0 || label >= classes; });
  if (outside != batch.labels.end()) throw ShapeError(fmt::format("got the label {} for a model of {} classes", *outside, classes));
  const Tensor loss =
      training_step_({.input = training_input(batch), .labels = batch.labels, .rates = rates, .number = step_, .scaler = step_scaler()});
  ++step_;
  return loss;
}

Tensor Learner::training_input(const data::Batch& batch) const {
  if (!options_.augmentation) return validation_input(batch, info_, training_step_.input_place());
  return nn::training_input(batch, options_.augment, options_.seed, static_cast<uint32_t>(step_), info_, training_step_.input_place());
}

EvaluateOptions Learner::evaluate_options() const {
  return {.interrupt = options_.interrupt,
          .precision = options_.precision,
          .replay = options_.replay,
          .loss = options_.loss.get(),
          .take_not_finite = true};
}

Evaluation Learner::evaluate() { return validate(evaluate_options()); }

void Learner::require_finite_validation() {
  EvaluateOptions options = evaluate_options();
  options.take_not_finite = false;
  validate(options);
}

Evaluation Learner::validate(const EvaluateOptions& options) { return nn::evaluate(model_, *valid_, info_, options); }

std::string Learner::where() const {
  return fmt::format("epoch {} (of 0 to {}{})", phase_epoch_, phase_.epochs - 1, phase_.frozen ? ", frozen" : "");
}

// After a fit that ended early: the clauses of the callbacks, each after a semicolon.
std::string Learner::put_in_order() {
  record(losses_.all());
  optimizer_->zero_grad();
  std::string clauses;
  for (Callback* callback : callbacks_)
    if (const std::string clause = callback->on_interrupt(); !clause.empty()) clauses += "; " + clause;
  return clauses;
}

double Learner::time_training_step(const Tensor& input, std::span<const int64_t> labels) {
  double seconds = 0;
  model_.train();
  for (int run = 0; run < 2; ++run) {  // the first allocates memory and chooses plans
    const Clock::time_point start = Clock::now();
    training_step_.forward_backward(input, labels, step_scaler()).item();  // waits
    optimizer_->zero_grad();
    seconds = seconds_since(start);
  }
  return seconds;
}

double Learner::time_validation_batch(const Tensor& input) {
  const EvaluationMode mode(model_);
  const tape::NoGrad no_grad;
  const amp::Autocast autocast(amp::dtype_of(options_.precision));
  double seconds = 0;
  for (int run = 0; run < 2; ++run) {
    const Clock::time_point start = Clock::now();
    model_(input).to_doubles();  // waits
    seconds = seconds_since(start);
  }
  return seconds;
}

double Learner::estimate_seconds(std::span<const Phase> phases, int64_t batch_size, int resize) {
  constexpr double kFrozenShare = 2.0 / 3;         // of a convolution's three products, the one for its weights is skipped
  if (train_->batches_per_epoch() == 0) return 0;  // fit will say so
  const int64_t n = std::min(batch_size, train_->pictures_per_epoch());
  std::vector<uint8_t> pixels(static_cast<size_t>(n) * static_cast<size_t>(resize) * static_cast<size_t>(resize) * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  const std::vector<int64_t> labels(static_cast<size_t>(n), 0);
  const std::vector<float> parameters = data::validation_parameters(static_cast<int>(n), resize, resize);
  const Tensor input = to_input(pixels, n, resize, resize, parameters, false, info_, training_step_.input_place());

  std::vector<NamedTensor> buffers = model_.buffers();  // a training pass changes the running statistics
  std::vector<Tensor> before;
  for (const NamedTensor& buffer : buffers) before.push_back(buffer.tensor.clone());
  const bool training = model_.training();
  const double train_step = time_training_step(input, labels);
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].tensor.copy_from(before[i]);
  const double valid_picture = time_validation_batch(input) / static_cast<double>(n);
  model_.train(training);

  double total = 0;
  for (const Phase& phase : phases) {
    const double train = static_cast<double>(train_->batches_per_epoch()) * train_step * (phase.frozen ? kFrozenShare : 1);
    total += phase.epochs * (train + static_cast<double>(valid_->pictures_per_epoch()) * valid_picture);
  }
  return total;
}

Learner::Parts Learner::parts_of(const Module& model, std::shared_ptr<const data::Dataset> dataset, const LearnerOptions& options) {
  const data::LoaderOptions train{
      .batch_size = options.batch_size, .training = true, .threads = options.loader_threads, .seed = options.seed};
  const data::LoaderOptions valid{
      .batch_size = options.batch_size, .training = false, .threads = options.loader_threads, .seed = options.seed};
  return make_batches({dataset, train}, {dataset, valid}, placement_of(model).device, options.device_pictures);
}

namespace {

// The model's info at the photos' sizes, which it keeps.
const ModelInfo& fitted(Classifier& model, const data::Photos& photos) {
  if (model.classes() != photos.classes())
    throw UsageError(fmt::format("the model has the classes {}, but the photos have {}", fmt::join(model.classes(), ", "),
                                 fmt::join(photos.classes(), ", ")),
                     "make the classifier with photos.classes()");
  model.info.resize = photos.dataset->resize();
  model.info.size = photos.size;
  model.info.exif_rotate = photos.dataset->exif_rotate();
  return model.info;
}

}  // namespace

Learner::Learner(Module& model, Parts parts, ModelInfo info, LearnerOptions options)
    : Learner(model, std::move(parts.first), std::move(parts.second), std::move(info), std::move(options)) {}

Learner::Learner(Classifier& model, const data::Photos& photos, LearnerOptions options)
    : Learner(*model.network, parts_of(*model.network, photos.dataset, options), fitted(model, photos), options) {}

Learner make_learner(Module& model, std::shared_ptr<const data::Dataset> dataset, ModelInfo info, const LearnerOptions& options) {
  return Learner(model, Learner::parts_of(model, std::move(dataset), options), std::move(info), options);
}

}  // namespace mirilla::nn
