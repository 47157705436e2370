// SPDX-License-Identifier: MIT
#include "nn/train/lr_find.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/train/callbacks.h"
#include "nn/train/freeze.h"
#include "tests/nn/synthetic.h"

// tests/parity/lr_find_parity_test.cpp compares the curve and the rules with fastai's own.
namespace mirilla::nn {
namespace {

constexpr int kClasses = 4;
constexpr int kSize = 32;

class LrFindTest : public testing::Test {
 protected:
  LrFindTest() { set_host_threads(1); }

  Learner learner(const LearnerOptions& options = {}, int64_t train = 16) {
    auto batches = std::make_unique<StripedBatches>(train, 8, kSize, kClasses);
    batches_ = batches.get();
    return Learner(model_, std::move(batches), std::make_unique<StripedBatches>(8, 8, kSize, kClasses), small_info(kClasses, kSize),
                   options);
  }
  std::vector<double> losses_of(const Learner& learner) {
    std::vector<double> losses;
    for (const StepRow& step : learner.recorder().steps()) losses.push_back(step.loss);
    for (const EpochRow& row : learner.recorder().epochs()) losses.push_back(row.valid_loss);
    return losses;
  }

  ResNet model_{{.classes = kClasses, .seed = 3}, {.device = open_device("cpu")}};
  const StripedBatches* batches_ = nullptr;
};

TEST_F(LrFindTest, GrowsTheRateByEqualFactorsAndNeverReachesItsEnd) {
  Learner learner = this->learner();
  const LrFindResult result = lr_find(learner, {.start_lr = 1e-5, .end_lr = 1e-3, .iterations = 8});
  ASSERT_EQ(result.lrs.size(), 8u);
  EXPECT_DOUBLE_EQ(result.lrs[0], 1e-5);
  EXPECT_DOUBLE_EQ(result.lrs[4], 1e-4);
  EXPECT_LT(result.lrs[7], 1e-3);
  EXPECT_DOUBLE_EQ(lr_find_rate({}, 50), 1e-3);
  EXPECT_EQ(result.losses[0], result.raw_losses[0]);
  EXPECT_NEAR(result.losses[1], (0.98 * result.raw_losses[0] + result.raw_losses[1]) / 1.98, 1e-12) << "debiased";
}

TEST_F(LrFindTest, TakesAsManyEpochsAsItNeeds) {
  Learner learner = this->learner();
  lr_find(learner, {.iterations = 7, .stop_at_blowup = false});
  EXPECT_EQ(batches_->started(), (std::vector<int64_t>{0, 1, 2, 3}));  // of two batches each
}

TEST_F(LrFindTest, LeavesTheLearnerAsItWasToTheBit) {
  ResNet other({.classes = kClasses, .seed = 3}, {.device = open_device("cpu")});
  Learner never(other, std::make_unique<StripedBatches>(16, 8, kSize, kClasses), std::make_unique<StripedBatches>(8, 8, kSize, kClasses),
                small_info(kClasses, kSize));
  never.fine_tune(1, 1e-3);

  Learner learner = this->learner();
  const auto before = values_of(model_);
  model_.evaluate();
  const LrFindResult first = lr_find(learner, {.iterations = 8, .stop_at_blowup = false});
  EXPECT_TRUE(values_of(model_) == before);
  EXPECT_FALSE(model_.training());
  for (const OptimizerSlot& slot : learner.optimizer().kept()) EXPECT_TRUE(slot.tensors.empty()) << slot.name;
  for (const NamedTensor& named : model_.parameters()) EXPECT_FALSE(named.tensor.grad()) << named.name;
  EXPECT_TRUE(learner.recorder().steps().empty());
  EXPECT_EQ(lr_find(learner, {.iterations = 8, .stop_at_blowup = false}).losses, first.losses);
  learner.fine_tune(1, 1e-3);
  EXPECT_EQ(losses_of(learner), losses_of(never)) << "a run without lr_find gives other losses";
  EXPECT_TRUE(values_of(model_) == values_of(other));
}

TEST_F(LrFindTest, PutsAdamsMomentsBackWhereThereWereSome) {
  Learner learner = this->learner();
  learner.fit_one_cycle(1, 1e-3);
  const LearnerState before = learner.snapshot();
  lr_find(learner, {.iterations = 6});
  const LearnerState after = learner.snapshot();
  for (size_t i = 0; i < before.optimizer.size(); ++i) {
    ASSERT_EQ(before.optimizer[i].tensors.size(), 3u);
    ASSERT_EQ(after.optimizer[i].tensors.size(), 3u);
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(after.optimizer[i].tensors[k].to_doubles(), before.optimizer[i].tensors[k].to_doubles());
    EXPECT_EQ(after.optimizer[i].tensors[2].to_vector<int64_t>(), std::vector<int64_t>{2});
  }
  EXPECT_EQ(learner.steps(), 2);
}

TEST_F(LrFindTest, KeepsTheMomentumThatAFitEndedWith) {
  Learner learner = this->learner();
  learner.fit_one_cycle(2, 1e-4);
  const double last = learner.recorder().steps().back().rates.momentum;
  const auto losses = [&](std::optional<double> momentum) {
    return lr_find(learner, {.start_lr = 1e-4, .iterations = 6, .momentum = momentum}).raw_losses;
  };
  EXPECT_EQ(losses(std::nullopt), losses(last));
  EXPECT_NE(losses(0.9), losses(last));
}

TEST_F(LrFindTest, TrainsNothingThatIsFrozen) {
  Learner learner = this->learner();
  freeze(model_, learner.optimizer());
  const Tensor conv = model_.parameters()[0].tensor;
  const std::vector<float> before = conv.to_vector<float>();
  int seen = 0;
  const LrFindOptions options{
      .start_lr = 1e-3, .iterations = 6, .progress = [&](int64_t, int64_t, double) { seen += conv.to_vector<float>() == before; }};
  lr_find(learner, options);
  EXPECT_EQ(seen, 6);
  EXPECT_FALSE(conv.requires_grad()) << "what is frozen stays so";
}

TEST_F(LrFindTest, StopsWhereTheLossIsFourTimesItsSmallest) {
  Learner learner = this->learner({.augmentation = false});
  LrFindOptions options{.start_lr = 1e-3, .end_lr = 1e6, .iterations = 12};
  const LrFindResult result = lr_find(learner, options);
  ASSERT_TRUE(result.blew_up);
  ASSERT_LT(result.losses.size(), 12u);
  const size_t n = result.losses.size();
  for (size_t i = 0; i < n; ++i) {
    const double best = *std::min_element(result.losses.begin(), result.losses.begin() + static_cast<std::ptrdiff_t>(i + 1));
    EXPECT_EQ(result.losses[i] > 4 * best, i + 1 == n) << i;
  }
  options.stop_at_blowup = false;
  EXPECT_EQ(lr_find(learner, options).losses.size(), 12u);
}

TEST_F(LrFindTest, HasAScalerOfItsOwnInHalfPrecision) {
  Learner learner = this->learner({.precision = amp::Precision::fp16});
  learner.fit_one_cycle(1, 1e-4);
  const std::vector<float> before = learner.scaler()->state().to_vector<float>();
  const LrFindResult result = lr_find(learner, {.start_lr = 1e-5, .end_lr = 1e-3, .iterations = 6});
  for (const double loss : result.losses) EXPECT_TRUE(std::isfinite(loss));
  EXPECT_EQ(learner.scaler()->state().to_vector<float>(), before);
}

TEST_F(LrFindTest, PutsAllBackAfterAnInterrupt) {
  std::atomic<bool> interrupt = false;
  Learner learner = this->learner({.interrupt = &interrupt});
  const auto before = values_of(model_);
  const LrFindOptions options{.iterations = 20, .progress = [&](int64_t done, int64_t, double) { interrupt = done == 3; }};
  try {
    lr_find(learner, options);
    FAIL() << "the flag was not seen";
  } catch (const Interrupted& error) {
    EXPECT_NE(error.message().find("after 3 of 20 iterations"), std::string::npos) << error.message();
  }
  EXPECT_TRUE(values_of(model_) == before);
  EXPECT_EQ(learner.steps(), 0);
}

TEST_F(LrFindTest, RefusesWhatMakesNoSense) {
  Learner learner = this->learner();
  EXPECT_THROW(lr_find(learner, {.iterations = 5}), UsageError);
  EXPECT_THROW(lr_find(learner, {.start_lr = 0}), UsageError);
  EXPECT_THROW(lr_find(learner, {.start_lr = 1, .end_lr = 1}), UsageError);
  EXPECT_THROW(lr_find(learner, {.end_lr = NAN}), UsageError);
  Learner empty = this->learner({}, 0);
  EXPECT_THROW(lr_find(empty), DataError);
  EXPECT_THROW(suggest({}, 100, std::vector<std::string>{"cliff"}), UsageError);
}

LrFindResult curve(std::vector<double> losses) {
  LrFindResult result{.losses = std::move(losses)};
  for (size_t i = 0; i < result.losses.size(); ++i) result.lrs.push_back(lr_find_rate({}, static_cast<int>(i)));
  result.raw_losses = result.losses;
  return result;
}

TEST(LrSuggest, PrintsAsFastaisNamedTuple) {
  std::vector<double> losses;
  for (int i = 0; i < 100; ++i) losses.push_back(2 - 0.01 * i);
  const auto suggestions = suggest(curve(losses), 100, std::vector<std::string>{"valley", "steep"});
  EXPECT_EQ(to_string(std::span(suggestions).first(1)), "SuggestedLRs(valley=0.0012022644514217973)");
  EXPECT_EQ(to_string(suggest(curve({2, 1}), 100, std::vector<std::string>{"slide", "steep"})), "SuggestedLRs(slide=None, steep=None)");
}

TEST(LrSuggest, SaysNothingOfNoCurve) {
  const std::vector<std::string> rules(lr_rules().begin(), lr_rules().end());
  for (const auto& losses : {std::vector<double>{}, std::vector<double>(12, 1.0), std::vector<double>(100, NAN)})
    for (const LrSuggestion& suggestion : suggest(curve(losses), 100, rules)) EXPECT_FALSE(suggestion.lr) << suggestion.rule;
}

TEST(LrSuggest, DrawsACurveOfAnyLengthAndWritesIt) {
  const TemporaryFolder folder;
  for (const size_t n : {size_t{0}, size_t{3}, size_t{6}, size_t{40}}) {
    const LrFindResult result = curve(std::vector<double>(n, 1.5));
    const auto suggestions = suggest(result, 100, std::vector<std::string>{"valley", "slide"});
    EXPECT_GT(draw_lr_find(result, suggestions).width, 300);
  }
  write_lr_find(curve({2.5, NAN}), folder / "lr_find.csv");
  std::ifstream file(folder / "lr_find.csv");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "iteration,lr,loss,smoothed_loss\n0,1e-07,2.5,2.5\n1," + python_float(lr_find_rate({}, 1)) + ",nan,nan\n");
}

}  // namespace
}  // namespace mirilla::nn
