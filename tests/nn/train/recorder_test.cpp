// SPDX-License-Identifier: MIT
#include "nn/train/recorder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "kernels/core/error.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

const Rates kRates{.lr = {1e-3}, .momentum = 0.9};

TEST(Recorder, SmoothsWithoutTheBiasOfAnAverageThatStartsAtZero) {
  Recorder recorder;
  recorder.begin_fit();
  EXPECT_TRUE(std::isnan(recorder.train_loss()));
  recorder.add(recorder.begin_step(0, kRates), 1);
  EXPECT_NEAR(recorder.train_loss(), 1, 1e-14);
  recorder.add(recorder.begin_step(0, kRates), 2);
  EXPECT_NEAR(recorder.train_loss(), (0.98 * 0.02 * 1 + 0.02 * 2) / (1 - 0.98 * 0.98), 1e-14);
  recorder.add(recorder.begin_step(1, kRates), 4);  // the next epoch continues
  EXPECT_NEAR(recorder.train_loss(), (0.98 * (0.98 * 0.02 + 0.04) + 0.08) / (1 - 0.98 * 0.98 * 0.98), 1e-14);
}

TEST(Recorder, SmoothsAnewInEachFit) {
  Recorder recorder;
  recorder.begin_fit();
  for (int i = 0; i < 5; ++i) recorder.add(recorder.begin_step(0, kRates), 100);
  recorder.begin_fit();
  EXPECT_TRUE(std::isnan(recorder.train_loss()));
  recorder.add(recorder.begin_step(0, kRates), 3);
  EXPECT_NEAR(recorder.train_loss(), 3, 1e-14);
  EXPECT_EQ(recorder.steps().back().fit, 1);
  EXPECT_NEAR(recorder.steps()[4].train_loss, 100, 1e-10);
}

TEST(Recorder, GivesTheSameSmoothedLossesWhenTheyComeLateAndOutOfOrder) {
  Recorder prompt, late;
  prompt.begin_fit();
  late.begin_fit();
  for (int i = 0; i < 4; ++i) {
    prompt.add(prompt.begin_step(0, kRates), i * i);
    late.begin_step(0, kRates);
  }
  late.add(1, 1);
  EXPECT_TRUE(std::isnan(late.train_loss()));  // step 0 is pending
  late.add(0, 0);
  EXPECT_EQ(late.train_loss(), prompt.steps()[1].train_loss);
  late.add(3, 9);
  late.add(2, 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(late.steps()[i].train_loss, prompt.steps()[i].train_loss);
  EXPECT_EQ(late.train_loss(), prompt.train_loss());
}

TEST(Recorder, DoesNotCountALateLossOfThePreviousFit) {
  Recorder recorder;
  recorder.begin_fit();
  const int64_t step = recorder.begin_step(0, kRates);
  recorder.begin_fit();
  recorder.add(step, 7);
  EXPECT_TRUE(std::isnan(recorder.train_loss()));
  EXPECT_EQ(recorder.steps()[0].train_loss, 7);
}

TEST(Recorder, RefusesAnUnexpectedLoss) {
  Recorder recorder;
  EXPECT_THROW(recorder.begin_step(0, kRates), Error);
  recorder.begin_fit();
  EXPECT_THROW(recorder.add(0, 1), Error);
  const int64_t step = recorder.begin_step(0, kRates);
  recorder.add(step, 1);
  EXPECT_THROW(recorder.add(step, 1), Error);
  EXPECT_THROW(recorder.add(-1, 1), Error);
}

TEST(Recorder, FindsTheBestEpochOfTheLastFitAndPassesNaNBy) {
  Recorder recorder;
  EXPECT_EQ(recorder.best(), nullptr);
  recorder.add_epoch({.fit = 0, .epoch = 0, .valid_loss = 0.1});
  recorder.add_epoch({.fit = 1, .epoch = 0, .valid_loss = std::nan("")});
  EXPECT_EQ(recorder.best()->fit, 0);
  recorder.add_epoch({.fit = 1, .epoch = 1, .valid_loss = 0.5});
  recorder.add_epoch({.fit = 1, .epoch = 2, .valid_loss = 0.4});
  recorder.add_epoch({.fit = 1, .epoch = 3, .valid_loss = 0.4});
  EXPECT_EQ(recorder.best()->fit, 1);
  EXPECT_EQ(recorder.best()->epoch, 2);
}

TEST(History, IsATableOfTheEpochs) {
  const TemporaryFolder folder;
  Recorder recorder;
  recorder.begin_fit();
  recorder.add(recorder.begin_step(0, kRates), 1.25);
  recorder.add_epoch({.fit = 0, .epoch = 0, .train_loss = recorder.train_loss(), .valid_loss = 0.5, .accuracy = 0.75, .seconds = 61.5});
  write_history(recorder, folder / "history.csv");
  std::ifstream file(folder / "history.csv");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), "fit,epoch,train_loss,valid_loss,accuracy,seconds,step\n0,0,1.250000,0.500000,0.750000,61.500,1\n");
}

}  // namespace
}  // namespace mirilla::nn
