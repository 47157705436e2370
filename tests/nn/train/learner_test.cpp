// SPDX-License-Identifier: MIT
#include "nn/train/learner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <sstream>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/run/finite.h"
#include "nn/train/callbacks.h"
#include "nn/train/freeze.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr int kClasses = 4;
constexpr int kSize = 32;

Placement on_cpu() { return {.device = open_device("cpu")}; }

// One thread by default: tests run in parallel, and threads that wait for each other spin.
ResNet small_model(int threads = 1) {
  set_host_threads(threads);
  return ResNet({.classes = kClasses, .seed = 3}, on_cpu());
}

Learner learner_for(ResNet& model, int64_t train, int64_t valid, int64_t batch_size, const LearnerOptions& options = {}) {
  return Learner(model, std::make_unique<StripedBatches>(train, batch_size, kSize, kClasses),
                 std::make_unique<StripedBatches>(valid, batch_size, kSize, kClasses), small_info(kClasses, kSize), options);
}

void set_dropout(ResNet& model, double p) {
  for (const auto& [path, module] : model.modules())
    if (auto* dropout = dynamic_cast<Dropout*>(module)) dropout->set_p(p);
}

// Runs a given function at an event.
class Probe final : public Callback {
 public:
  Order order() const override { return Order::show; }
  void begin_fit(const FitPlan& plan) override { plans.push_back(plan); }
  void begin_epoch(int) override { events += 'e'; }
  void after_batch(const BatchReport& report) override {
    events += 'b';
    if (on_batch) on_batch(report);
  }
  void begin_validation() override {
    events += 'v';
    if (on_validation) on_validation();
  }
  void after_validation_batch(const BatchReport&) override { events += 'w'; }
  Verdict after_epoch(const EpochRow& row) override {
    events += 'r';
    return on_epoch ? on_epoch(row) : Verdict::go_on;
  }
  void after_fit() override { events += 'f'; }

  std::vector<FitPlan> plans;
  std::string events;
  std::function<void(const BatchReport&)> on_batch;
  std::function<void()> on_validation;
  std::function<Verdict(const EpochRow&)> on_epoch;
};

TEST(Learner, OverfitsOneBatchUntilItsLossIsNearZero) {
  ResNet model = small_model();
  set_dropout(model, 0);
  Learner learner = learner_for(model, 8, 8, 8, {.augmentation = false});
  learner.fit_one_cycle(40, 2e-3);
  EXPECT_LT(learner.recorder().steps().back().loss, 2e-3);
  EXPECT_GT(learner.recorder().steps().front().loss, 0.5);
  const Evaluation evaluation = learner.evaluate();
  EXPECT_EQ(evaluation.correct, 8);
  EXPECT_LT(evaluation.loss, 0.05);
}

TEST(Learner, LearnsUnderAugmentationAndDropoutToo) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 32, 16, 16);
  learner.fit_one_cycle(12, 2e-3);
  const auto& epochs = learner.recorder().epochs();
  ASSERT_EQ(epochs.size(), 12u);
  EXPECT_LT(epochs.back().train_loss, 0.75 * epochs.front().train_loss);
}

struct Outcome {
  std::vector<double> losses;
  std::vector<std::vector<float>> values;
};

Outcome run_with_seed(uint64_t seed) {
  ResNet model = small_model(2);
  Learner learner = learner_for(model, 16, 8, 8, {.seed = seed});
  learner.fine_tune(2, 1e-3);
  Outcome run{.values = values_of(model)};
  for (const StepRow& step : learner.recorder().steps()) run.losses.push_back(step.loss);
  for (const EpochRow& row : learner.recorder().epochs()) run.losses.push_back(row.valid_loss);
  return run;
}

TEST(Learner, GivesTheSameRunToTheBitForTheSameSeed) {
  const Outcome first = run_with_seed(7), second = run_with_seed(7);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_TRUE(first.values == second.values);
  EXPECT_NE(first.losses, run_with_seed(8).losses);
}

TEST(Learner, TellsItsCallbacksEverythingInOrder) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 16, 12, 8);
  Probe probe;
  learner.add(probe);
  learner.fine_tune(2, 1e-3);
  EXPECT_EQ(probe.events, "ebbvwwrfebbvwwrebbvwwrf");
  ASSERT_EQ(probe.plans.size(), 2u);
  EXPECT_TRUE(probe.plans[0].frozen);
  EXPECT_EQ(probe.plans[0].epochs, 1);
  EXPECT_FALSE(probe.plans[1].frozen);
  EXPECT_EQ(probe.plans[1].fit, 1);
  EXPECT_EQ(probe.plans[1].train_batches, 2);
  EXPECT_EQ(probe.plans[1].valid_pictures, 12);
  EXPECT_EQ(learner.steps(), 6);
}

TEST(Learner, RecordsTheRatesOfTheSchedule) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 16, 4, 8);
  learner.fine_tune(2, 1e-3);
  const auto& steps = learner.recorder().steps();
  ASSERT_EQ(steps.size(), 6u);
  const OneCycle cycle = fine_tune_phases(3, 2, 1e-3)[1].cycle;
  EXPECT_EQ(steps[2].rates.lr, cycle.at(0).lr);
  EXPECT_EQ(steps[4].rates.lr, cycle.at(0.5).lr);
  EXPECT_EQ(steps[5].rates.momentum, cycle.at(0.75).momentum);
}

TEST(Learner, EndsAFitEarlyIfACallbackStopsItAndContinuesWithTheNext) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 4, 8);
  Probe probe;
  probe.on_epoch = [&](const EpochRow& row) { return row.epoch == 1 ? Verdict::stop : Verdict::go_on; };
  learner.add(probe);
  learner.fine_tune(5, 1e-3, 4);
  EXPECT_EQ(probe.events, "ebvwrebvwrfebvwrebvwrf");
}

TEST(Learner, CountsEpochsOnOverFitsForItsLoader) {
  ResNet model = small_model();
  auto train = std::make_unique<StripedBatches>(8, 8, kSize, kClasses);
  const StripedBatches& watched = *train;
  Learner learner(model, std::move(train), std::make_unique<StripedBatches>(4, 4, kSize, kClasses), small_info(kClasses, kSize));
  learner.fine_tune(2, 1e-3);
  EXPECT_EQ(watched.started(), (std::vector<int64_t>{0, 1, 2}));
}

TEST(Learner, LeavesFrozenConvolutionsAloneAndTrainsTheirNorms) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 4, 8);
  const std::vector<NamedTensor> parameters = model.parameters();
  std::vector<std::vector<float>> before;
  for (const NamedTensor& named : parameters) before.push_back(named.tensor.to_vector<float>());
  const std::vector<float> statistics = model.buffers()[0].tensor.to_vector<float>();
  learner.fit(std::vector<Phase>{fine_tune_phases(3, 1, 1e-2)[0]});
  int still = 0, moved = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const bool same = parameters[i].tensor.to_vector<float>() == before[i];
    const bool is_frozen = parameters[i].tensor.shape().rank() == 4;
    EXPECT_EQ(same, is_frozen) << parameters[i].name;
    (same ? still : moved)++;
  }
  EXPECT_EQ(still, 20);
  EXPECT_EQ(moved, 46);
  EXPECT_NE(model.buffers()[0].tensor.to_vector<float>(), statistics);
}

TEST(Learner, LeavesNoGradientForValidation) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 4, 8);
  Probe probe;
  probe.on_validation = [&] {
    for (const NamedTensor& named : model.parameters()) EXPECT_FALSE(named.tensor.grad()) << named.name;
  };
  learner.add(probe);
  learner.fit_one_cycle(1, 1e-3);
  EXPECT_NE(probe.events.find('v'), std::string::npos);
}

TEST(Learner, NeedsNoMoreMemoryInLaterEpochsOrForARaggedBatch) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 16, 11, 8);  // validation ends with a batch of 3
  Allocator& allocator = Allocator::of(open_device("cpu"));
  std::vector<MemoryStatistics> after;
  std::vector<size_t> peaks;
  auto scope = std::make_unique<MemoryScope>(open_device("cpu"));
  Probe probe;
  probe.on_epoch = [&](const EpochRow&) {
    after.push_back(allocator.statistics());
    peaks.push_back(scope->peak());
    scope = std::make_unique<MemoryScope>(open_device("cpu"));
    return Verdict::go_on;
  };
  learner.add(probe);
  learner.fit_one_cycle(6, 1e-3);
  ASSERT_EQ(after.size(), 6u);
  // A request may take a kept block up to twice its size, so the memory in use varies a little; the memory taken from the device must not
  // change at all.
  for (size_t epoch = 3; epoch < after.size(); ++epoch) {
    EXPECT_EQ(after[epoch].device_allocations, after[2].device_allocations) << epoch;
    EXPECT_EQ(after[epoch].current + after[epoch].cached, after[2].current + after[2].cached) << epoch;
    EXPECT_LT(static_cast<double>(peaks[epoch]), 1.002 * static_cast<double>(peaks[2])) << epoch;
  }
}

TEST(Learner, StopsAtAnInterruptAndKeepsTheBestModel) {
  const TemporaryFolder folder;
  std::ostringstream out;
  Console console(out, false);
  std::atomic<bool> interrupt = false;
  ResNet model = small_model();
  Learner learner = learner_for(model, 16, 8, 8, {.interrupt = &interrupt});
  SaveBest best(console, model, learner.info(), folder / "model.safetensors");
  std::vector<std::vector<float>> saved;
  Probe probe;
  probe.on_batch = [&](const BatchReport& report) {
    if (report.epoch == 1 && report.iteration == 0) {
      saved = values_of(LoadedModel(load_model(best.file(), {}, on_cpu())).model->at(""));
      interrupt = true;
    }
  };
  learner.add(best);
  learner.add(probe);
  try {
    learner.fit_one_cycle(5, 1e-3);
    FAIL() << "the flag was not seen";
  } catch (const Interrupted& error) {
    EXPECT_NE(error.message().find("interrupted in epoch 1 (of 0 to 4)"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(best.file().string()), std::string::npos) << error.message();
  }
  EXPECT_EQ(learner.recorder().steps().size(), 3u);  // one batch of the second epoch was finished
  EXPECT_TRUE(values_of(model) == saved);
}

// A run under SaveBest and StopDiverged in which `spoil` changes the model after batch `iteration` of epoch 1.
struct Spoiled {
  Spoiled(const std::function<void(ResNet&)>& spoil, int64_t iteration, const LearnerOptions& options = {}) {
    std::ostringstream out;
    Console console(out, false);
    ResNet model = small_model();
    Learner learner = learner_for(model, 16, 4, 8, options);
    SaveBest best(console, model, learner.info(), folder / "model.safetensors");
    StopDiverged diverged(learner);
    Probe probe;
    probe.on_batch = [&](const BatchReport& report) {
      if (report.epoch == 1 && report.iteration == iteration) spoil(model);
    };
    for (Callback* callback : std::initializer_list<Callback*>{&probe, &best, &diverged}) learner.add(*callback);
    try {
      learner.fit_one_cycle(3, 1e-4);
    } catch (const Diverged& error) {
      message = error.message();
      hint = error.hint();
    }
    events = probe.events;
    steps = learner.recorder().steps().size();
    bool finite = true;
    for (const auto& values : values_of(model))
      for (const float value : values) finite = finite && std::isfinite(value);
    ends_finite = finite;
    saved = values_of(*load_model(best.file(), {}, on_cpu()).model) == values_of(model);
  }

  TemporaryFolder folder;
  std::string message, hint, events;
  size_t steps = 0;
  bool ends_finite = false, saved = false;
};

Tensor named(ResNet& model, std::string_view name) {
  for (const auto& all : {model.parameters(), model.buffers()})
    for (const NamedTensor& one : all)
      if (one.name == name) return one.tensor;
  throw Error(std::string(name));
}

TEST(StopDiverged, EndsTheRunAtTheFirstBadLossWhereWeightsAreNotFiniteAndPutsTheBestBack) {
  const Spoiled run([](ResNet& model) { named(model, "layer2.0.conv1.weight").fill(NAN); }, 0);
  EXPECT_EQ(run.steps, 4u) << "the loss after the spoilt step is the first to tell";
  EXPECT_TRUE(run.message.starts_with("the training diverged in epoch 1 (of 0 to 2): conv1.weight (9408 of 9408 values are NaN)"))
      << run.message;
  EXPECT_NE(run.message.find("; the best model so far (epoch 0, valid_loss "), std::string::npos) << run.message;
  EXPECT_NE(run.hint.find("smaller learning rate"), std::string::npos);
  EXPECT_TRUE(run.ends_finite);
  EXPECT_TRUE(run.saved);
}

// With an infinite variance the validation loss is also finite: the norm gives its bias.
TEST(StopDiverged, EndsItForRunningStatisticsThoughLossesAreFinite) {
  for (const float bad : {NAN, INFINITY}) {
    const Spoiled run([=](ResNet& model) { named(model, "layer3.0.bn1.running_var").fill(bad); }, 1);
    EXPECT_EQ(run.steps, 4u) << "the training of epoch 1 knew nothing of it";
    EXPECT_TRUE(run.message.starts_with(
        fmt::format("the training diverged in epoch 1 (of 0 to 2): layer3.0.bn1.running_var (256 of 256 values are {})",
                    std::isnan(bad) ? "NaN" : "infinite")))
        << run.message;
    EXPECT_TRUE(run.saved);
  }
}

TEST(StopDiverged, BlamesTheRateOnlyForWhatAStepDid) {
  ResNet model = small_model();
  named(model, "head.8.weight").fill(3e38);  // finite, but the first logits overflow
  Learner learner = learner_for(model, 16, 4, 8);
  StopDiverged diverged(learner);
  learner.add(diverged);
  try {
    learner.fit_one_cycle(2, 1e-4);
    ADD_FAILURE() << "the run did not end";
  } catch (const Diverged& error) {
    EXPECT_TRUE(error.message().starts_with("the training diverged in epoch 0 (of 0 to 1): ")) << error.message();
    EXPECT_TRUE(error.hint().starts_with("the first loss was not finite, before any step")) << error.hint();
  }
}

TEST(StopDiverged, LetsARunGoOnAfterLossesThatTheScalerLeftOut) {
  const Spoiled run([](ResNet& model) { named(model, "head.8.weight").fill(3e38); }, 0, {.precision = amp::Precision::fp16});
  EXPECT_EQ(run.message, "") << "the weights are large, and finite";
  EXPECT_EQ(run.steps, 6u);
  EXPECT_TRUE(run.saved);
}

TEST(StopDiverged, EndsItWhereFp16OverflowsWhateverTheScale) {
  const Spoiled run([](ResNet& model) { named(model, "head.8.weight").fill(3e38); }, 0,
                    {.precision = amp::Precision::fp16, .scaler = {.initial = 0x1p-23}});
  EXPECT_TRUE(run.message.starts_with("the training diverged in epoch 1 (of 0 to 2): gradients overflow fp16 with every loss scale"))
      << run.message;
  EXPECT_EQ(run.steps, 4u) << "one overflow is enough to come to 2^-24";
  EXPECT_NE(run.hint.find("fp32"), std::string::npos);
  EXPECT_TRUE(run.saved);
}

TEST(Learner, NamesTheModuleWhereValidationsLogitsBecameNonFinite) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 4, 8);
  EXPECT_NO_THROW(learner.require_finite_validation());
  named(model, "layer2.1.bn2.running_var").fill(NAN);
  EXPECT_TRUE(std::isnan(learner.evaluate().loss));
  try {
    learner.require_finite_validation();
    FAIL() << "the logits are NaN";
  } catch (const NotFinite& error) {
    EXPECT_EQ(error.cause.module, "layer2.1.bn2");
  }
}

TEST(Learner, SeesAnInterruptWhileItValidates) {
  std::atomic<bool> interrupt = false;
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 16, 8, {.interrupt = &interrupt});
  Probe probe;
  probe.on_validation = [&] { interrupt = true; };
  learner.add(probe);
  EXPECT_THROW(learner.fit_one_cycle(2, 1e-3), Interrupted);
  EXPECT_TRUE(learner.recorder().epochs().empty());
  EXPECT_TRUE(model.training());  // the mode was restored
}

TEST(Learner, RefusesATrainingPartWithoutABatch) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 0, 4, 8);
  EXPECT_THROW(learner.fit_one_cycle(1, 1e-3), DataError);
}

TEST(Learner, RefusesALabelTheModelHasNoClassFor) {
  ResNet model = small_model();
  auto train = std::make_unique<StripedBatches>(8, 8, kSize, kClasses);
  train->batches()[0].labels[3] = kClasses;
  Learner learner(model, std::move(train), std::make_unique<StripedBatches>(4, 4, kSize, kClasses), small_info(kClasses, kSize));
  EXPECT_THROW(learner.fit_one_cycle(1, 1e-3), ShapeError);
}

TEST(Learner, GivesNaNWhereNothingValidates) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 0, 8);
  learner.fit_one_cycle(1, 1e-3);
  EXPECT_TRUE(std::isnan(learner.recorder().epochs()[0].valid_loss));
  EXPECT_TRUE(std::isnan(learner.recorder().epochs()[0].accuracy));
}

TEST(Learner, ChangesNothingWhenItEstimatesItsTime) {
  ResNet model = small_model();
  Learner learner = learner_for(model, 8, 4, 8);
  const auto before = values_of(model);
  const std::vector<Phase> one = fine_tune_phases(3, 1, 1e-3, 0), ten = fine_tune_phases(3, 10, 1e-3, 0);
  EXPECT_GT(learner.estimate_seconds(one, 8, kSize), 0);
  EXPECT_GT(learner.estimate_seconds(ten, 8, kSize), 0);
  EXPECT_TRUE(values_of(model) == before);
  for (const NamedTensor& named : model.parameters()) EXPECT_FALSE(named.tensor.grad());
  EXPECT_EQ(learner.steps(), 0);
}

TEST(Evaluate, WeightsEveryPictureAlikeWithARaggedLastBatch) {
  ResNet model = small_model();
  StripedBatches ragged(11, 4, kSize, kClasses), whole(11, 11, kSize, kClasses);
  const ModelInfo info = small_info(kClasses, kSize);
  const Evaluation a = evaluate(model, ragged, info), b = evaluate(model, whole, info);
  EXPECT_EQ(a.n, 11);
  EXPECT_NEAR(a.loss, b.loss, 1e-5 * std::abs(b.loss));
  EXPECT_EQ(a.confusion, b.confusion);
  double sum = 0;
  for (const ItemResult& item : a.items) sum += item.loss;
  EXPECT_NEAR(a.loss, sum / 11, 1e-12);
}

TEST(Evaluate, CountsActualClassesInRowsAndPredictedOnesInColumns) {
  ResNet model = small_model();
  StripedBatches batches(10, 4, kSize, kClasses);
  const Evaluation evaluation = evaluate(model, batches, small_info(kClasses, kSize));
  std::vector<int64_t> wanted(kClasses * kClasses);
  int64_t correct = 0;
  for (const ItemResult& item : evaluation.items) {
    ++wanted[static_cast<size_t>(item.actual * kClasses + item.predicted)];
    correct += item.actual == item.predicted;
    EXPECT_EQ(item.actual, item.item % kClasses);
    if (item.actual == item.predicted) {
      EXPECT_NEAR(std::exp(-item.loss), item.probability, 1e-5);
    }
  }
  EXPECT_EQ(evaluation.confusion, wanted);
  EXPECT_EQ(evaluation.correct, correct);
  EXPECT_EQ(evaluation.accuracy, static_cast<double>(correct) / 10);
}

TEST(Evaluate, ChangesNoValueOfTheModelAndPutsItsModeBack) {
  ResNet model = small_model();
  StripedBatches batches(6, 4, kSize, kClasses);
  const auto before = values_of(model);
  evaluate(model, batches, small_info(kClasses, kSize));
  EXPECT_TRUE(model.training());
  EXPECT_TRUE(values_of(model) == before);
}

}  // namespace
}  // namespace mirilla::nn
