// SPDX-License-Identifier: MIT
#include "nn/train/callbacks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "data/pictures/decode.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(FormatTime, CutsToWholeSecondsAndShowsHoursOnlyWhereThereAreAny) {
  EXPECT_EQ(format_time(0), "00:00");
  EXPECT_EQ(format_time(59.99), "00:59");
  EXPECT_EQ(format_time(451), "07:31");
  EXPECT_EQ(format_time(3599), "59:59");
  EXPECT_EQ(format_time(3600), "1:00:00");
  EXPECT_EQ(format_time(45296), "12:34:56");
}

TEST(TableLines, AreFastaisToTheLetter) {
  EXPECT_EQ(table_head(), "epoch     train_loss  valid_loss  accuracy  time    ");
  EXPECT_EQ(table_row({.epoch = 0, .train_loss = 1.2345678, .valid_loss = 0.9, .accuracy = 0.6916667, .seconds = 39.7}),
            "0         1.234568    0.900000    0.691667  00:39     ");
  EXPECT_EQ(table_row({.epoch = 12, .train_loss = 12.5, .valid_loss = kNaN, .accuracy = 1, .seconds = 3725}),
            "12        12.500000   nan         1.000000  1:02:05   ");
}

TEST(PythonFloat, PrintsAsPythonDoes) {
  EXPECT_EQ(python_float(0.9f), "0.8999999761581421");
  EXPECT_EQ(python_float(1), "1.0");
  EXPECT_EQ(python_float(-2), "-2.0");
  EXPECT_EQ(python_float(0.1), "0.1");
  EXPECT_EQ(python_float(1e-7), "1e-07");
  EXPECT_EQ(python_float(1e22), "1e+22");
  EXPECT_EQ(python_float(123456789012345680.0), "1.2345678901234568e+17");
  EXPECT_EQ(python_float(kNaN), "nan");
  EXPECT_EQ(python_float(std::numeric_limits<double>::infinity()), "inf");
}

TEST(Console, WritesNoCarriageReturnIntoAPipe) {
  std::ostringstream out;
  Console console(out, false);
  console.status("50 %");
  console.line("done");
  console.clear_status();
  EXPECT_EQ(out.str(), "done\n");
}

TEST(Console, TakesTheStatusLineAwayBeforeALineOnATerminal) {
  std::ostringstream out;
  Console console(out, true, 10);
  console.status("0123456789 too long");
  console.line("done");
  EXPECT_EQ(out.str(), "\r012345678\x1b[K\r\x1b[Kdone\n");
}

TEST(Table, PrintsItsHeadOncePerFitAndALinePerEpochInAPipe) {
  std::ostringstream out;
  Console console(out, false);
  Table table(console);
  table.begin_fit({.epochs = 1, .train_batches = 1, .valid_batches = 1, .train_pictures = 8, .valid_pictures = 8});
  table.begin_epoch(0);
  table.after_batch({.pictures = 8, .train_loss = 1});
  table.begin_validation();
  table.after_validation_batch({.pictures = 8, .train_loss = kNaN});
  table.after_epoch({.train_loss = 1, .valid_loss = 2, .accuracy = 0.5, .seconds = 3});
  table.after_fit();
  EXPECT_EQ(out.str(), table_head() + "\n0         1.000000    2.000000    0.500000  00:03     \n");
}

TEST(Table, ShowsSpeedAndTimeLeftOnATerminalAndLeavesNothingBehind) {
  std::ostringstream out;
  Console console(out, true, 120);
  Table table(console);
  table.begin_fit({.epochs = 2, .train_batches = 1, .valid_batches = 1, .train_pictures = 8, .valid_pictures = 8});
  table.begin_epoch(0);
  table.after_batch({.pictures = 8, .train_loss = 1.5});
  EXPECT_NE(out.str().find("epoch 1/2 train [####################] 100%"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("img/s"), std::string::npos);
  EXPECT_NE(out.str().find("left"), std::string::npos);
  EXPECT_NE(out.str().find("loss 1.5000"), std::string::npos);
  table.after_fit();
  EXPECT_TRUE(out.str().ends_with("\r\x1b[K"));
}

// The epochs, counted from 0, at which a run of these validation losses stops; -1 if it runs to its end.
int stops_at(EarlyStopping& stopping, const std::vector<double>& losses) {
  stopping.begin_fit({});
  for (size_t epoch = 0; epoch < losses.size(); ++epoch)
    if (stopping.after_epoch({.epoch = static_cast<int>(epoch), .valid_loss = losses[epoch]}) == Verdict::stop)
      return static_cast<int>(epoch);
  return -1;
}

TEST(EarlyStopping, WaitsForItsPatienceAndNamesTheBestEpoch) {
  std::ostringstream out;
  Console console(out, false);
  EarlyStopping stopping(console, 3);
  EXPECT_EQ(stops_at(stopping, {0.9, 0.5, 0.6, 0.7, 0.55, 0.1}), 4);
  EXPECT_TRUE(stopping.stopped());
  EXPECT_EQ(out.str(), "No improvement since epoch 1: early stopping\n");
}

TEST(EarlyStopping, CountsAnEqualLossAndNaNAsNoImprovement) {
  std::ostringstream out;
  Console console(out, false);
  EarlyStopping stopping(console, 2);
  EXPECT_EQ(stops_at(stopping, {0.5, 0.5, 0.5}), 2);
  EXPECT_EQ(stops_at(stopping, {0.5, kNaN, 0.4, kNaN, kNaN}), 4);
  EXPECT_EQ(stops_at(stopping, {kNaN, kNaN}), 1);
}

TEST(EarlyStopping, StartsAnewWithEachFit) {
  std::ostringstream out;
  Console console(out, false);
  EarlyStopping stopping(console, 2);
  EXPECT_EQ(stops_at(stopping, {0.1, 0.2}), -1);
  EXPECT_FALSE(stopping.stopped());
  EXPECT_EQ(stops_at(stopping, {0.9, 0.95, 0.8}), -1);  // 0.9 is a best again, although 0.1 was better
  EXPECT_THROW(EarlyStopping(console, 0), UsageError);
}

class SaveBestTest : public testing::Test {
 protected:
  ResNet model_{{.classes = 2, .seed = 1}, {.device = open_device("cpu")}};
  TemporaryFolder folder_;
  std::ostringstream out_;
  Console console_{out_, false};
  SaveBest best_{console_, model_, small_info(2), folder_ / "model.safetensors"};
  Tensor mark_ = model_.parameters().back().tensor;  // marks the weights of an epoch

  void epoch(int epoch, double weight, double valid_loss, int fit = 0) {
    mark_.fill(weight);
    best_.after_epoch({.fit = fit, .epoch = epoch, .valid_loss = valid_loss});
  }
  double mark() const { return mark_.to_doubles()[0]; }
};

TEST_F(SaveBestTest, LoadsTheBestEpochBackWhenTheFitEnds) {
  best_.begin_fit({});
  epoch(0, 10, 0.8);
  epoch(1, 11, 0.9f);
  epoch(2, 12, 0.5);
  epoch(3, 13, 0.6);
  EXPECT_EQ(mark(), 13);
  best_.after_fit();
  EXPECT_EQ(mark(), 12);
  EXPECT_EQ(best_.saved_row().epoch, 2);
  EXPECT_EQ(out_.str(),
            "Better model found at epoch 0 with valid_loss value: 0.8.\n"
            "Better model found at epoch 2 with valid_loss value: 0.5.\n");
}

TEST_F(SaveBestTest, PrintsTheLossAsTheDoubleOfAnF32) {
  best_.begin_fit({});
  epoch(0, 1, 0.9f);
  EXPECT_EQ(out_.str(), "Better model found at epoch 0 with valid_loss value: 0.8999999761581421.\n");
}

TEST_F(SaveBestTest, LetsTheNextFitsFirstEpochReplaceTheFile) {
  best_.begin_fit({});
  epoch(0, 10, 0.1);
  best_.after_fit();
  best_.begin_fit({.fit = 1});
  epoch(0, 20, 0.7, 1);
  epoch(1, 21, 0.9, 1);
  best_.after_fit();
  EXPECT_EQ(mark(), 20);
  EXPECT_EQ(best_.saved_row().fit, 1);
}

TEST_F(SaveBestTest, KeepsWeightsAndFileWhereNoEpochWasEverABestOne) {
  best_.begin_fit({});
  epoch(0, 10, kNaN);
  best_.after_fit();
  EXPECT_EQ(mark(), 10);
  EXPECT_FALSE(best_.saved());
  EXPECT_FALSE(std::filesystem::exists(best_.file()));
  EXPECT_NE(out_.str().find("the weights stay as they are"), std::string::npos);
  EXPECT_NE(out_.str().find("was not written"), std::string::npos);
}

TEST_F(SaveBestTest, DoesNotLoadTheFileOfThePreviousFitAfterAFitOfNaN) {
  best_.begin_fit({});
  epoch(0, 10, 0.5);
  best_.after_fit();
  best_.begin_fit({.fit = 1});
  epoch(0, 20, kNaN, 1);
  best_.after_fit();
  EXPECT_EQ(mark(), 20);
  ResNet saved({.classes = 2}, {.device = open_device("cpu")});
  load_weights(saved, best_.file());
  EXPECT_EQ(saved.parameters().back().tensor.to_doubles()[0], 10);
}

TEST_F(SaveBestTest, PutsTheBestBackOnAnInterruptAndSaysWhereItIs) {
  EXPECT_EQ(best_.on_interrupt(), "no epoch was finished, so no model was saved");
  best_.begin_fit({});
  epoch(0, 10, 0.5);
  epoch(1, 11, 0.6);
  const std::string clause = best_.on_interrupt();
  EXPECT_EQ(mark(), 10);
  EXPECT_NE(clause.find("epoch 0, valid_loss 0.500000"), std::string::npos) << clause;
  EXPECT_NE(clause.find(best_.file().string()), std::string::npos);
  best_.begin_fit({.fit = 1});
  EXPECT_NE(best_.on_interrupt().find("epoch 0 of the previous fit"), std::string::npos);
}

TEST_F(SaveBestTest, LeavesTheFileOfAnEarlierRunAlone) {
  mark_.fill(99);
  save_model(best_.file(), model_, small_info(2));
  best_.begin_fit({});
  epoch(0, 10, kNaN);
  best_.after_fit();
  EXPECT_EQ(mark(), 10);
  EXPECT_EQ(best_.on_interrupt(), "no epoch produced a model to save");
  EXPECT_EQ(mark(), 10);
}

TEST_F(SaveBestTest, NeverSavesWhatIsNotFiniteHoweverGoodItsLoss) {
  best_.begin_fit({});
  epoch(0, 10, 0.5);
  Tensor variance = model_.buffers().back().tensor;
  const Tensor healthy = variance.clone();
  for (const double bad : {kNaN, std::numeric_limits<double>::infinity()}) {
    variance.fill(bad);
    EXPECT_THROW(epoch(1, 11, 0.1), Diverged) << "no step mends a running statistic";
  }
  variance.copy_from(healthy);
  EXPECT_THROW(epoch(1, kNaN, 0.1), Diverged);
  EXPECT_NE(out_.str().find("Epoch 1 has the best valid_loss, 0.1, and is not saved: head.8.weight (1024 of 1024 values are NaN)\n"),
            std::string::npos)
      << out_.str();
  EXPECT_NE(best_.on_interrupt().find("epoch 0, valid_loss 0.5"), std::string::npos);
  EXPECT_EQ(mark(), 10);
}

TEST_F(SaveBestTest, LeavesOutAnEpochOfNegativeVariancesWhichMayMend) {
  best_.begin_fit({});
  Tensor variance = model_.buffers().back().tensor;
  variance.fill(-1);
  epoch(0, 10, 0.1);
  EXPECT_FALSE(best_.saved());
  variance.fill(1);
  epoch(1, 11, 0.4);
  EXPECT_TRUE(best_.saved()) << "an epoch that was not saved is not to be beaten";
  EXPECT_EQ(best_.saved_row().epoch, 1);
  EXPECT_NE(out_.str().find("Epoch 0 has the best valid_loss, 0.1, and is not saved: head.6.running_var (512 of 512 values are negative)"),
            std::string::npos)
      << out_.str();
}

TEST_F(SaveBestTest, NeverTakesALossThatIsNotFiniteForTheBest) {
  best_.begin_fit({});
  for (const double loss : {kNaN, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) epoch(0, 10, loss);
  EXPECT_FALSE(best_.saved());
  EXPECT_EQ(best_.on_interrupt(), "no epoch produced a model to save");
}

TEST(LossGraph, DrawsEveryEpochTheStoppingOneIncluded) {
  const TemporaryFolder folder;
  std::ostringstream out;
  Console console(out, true, 60);
  Recorder recorder;
  recorder.begin_fit();
  LossGraph graph(console, recorder, folder / "loss.png", true);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int i = 0; i < 3; ++i) recorder.add(recorder.begin_step(epoch, {.lr = {1e-3}}), 2.0 / (epoch * 3 + i + 1));
    recorder.add_epoch({.epoch = epoch, .valid_loss = 1.0 / (epoch + 1)});
    EXPECT_EQ(graph.after_epoch(recorder.epochs().back()), Verdict::go_on);
    ASSERT_TRUE(std::filesystem::exists(folder / "loss.png"));
  }
  const data::Picture first = data::load_picture(folder / "loss.png");
  EXPECT_EQ(first.width, 760);
  recorder.add_epoch({.epoch = 2, .valid_loss = 0.2});
  graph.after_epoch(recorder.epochs().back());
  EXPECT_NE(data::load_picture(folder / "loss.png"), first);
  graph.after_fit();
  EXPECT_NE(out.str().find("train"), std::string::npos);
  EXPECT_NE(out.str().find("valid"), std::string::npos);
}

TEST(LossGraph, StaysOutOfAPipe) {
  std::ostringstream out;
  Console console(out, false);
  Recorder recorder;
  recorder.begin_fit();
  LossGraph graph(console, recorder, {});
  recorder.add(recorder.begin_step(0, {.lr = {1e-3}}), 1);
  recorder.add_epoch({.valid_loss = 1});
  graph.after_epoch(recorder.epochs().back());
  graph.after_fit();
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace mirilla::nn
