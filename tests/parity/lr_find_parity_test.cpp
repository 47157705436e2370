// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/devices.h"
#include "nn/train/freeze.h"
#include "nn/train/lr_find.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// tests/oracle/make_lr_find.py describes the files.
namespace mirilla::parity {
namespace {

using Json = nlohmann::json;
using nn::LrFindOptions, nn::LrFindResult, nn::LrSuggestion;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::string kFolder = MIRILLA_SOURCE_DIR "/tests/oracle/lr_find/";

// The larger; a NaN stays.
double worse(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

LrFindResult curve_of(const Json& curve) {
  LrFindResult result;
  LrFindOptions options{.iterations = curve["iterations"]};
  for (const Json& loss : curve["losses"]) {
    result.lrs.push_back(nn::lr_find_rate(options, static_cast<int>(result.lrs.size())));
    result.losses.push_back(loss.is_null() ? kNaN : loss.get<double>());
  }
  return result;
}

TEST(LrFindParity, SuggestsWhatFastaiSuggestsOnEveryCurve) {
  const Json document = Json::parse(std::ifstream(kFolder + "suggestions.json"));
  const std::vector<std::string> rules(nn::lr_rules().begin(), nn::lr_rules().end());
  int wrong = 0;
  double farthest = 0;  // of the loss at the dot
  for (const Json& curve : document["curves"]) {
    for (const LrSuggestion& ours : nn::suggest(curve_of(curve), curve["iterations"], rules)) {
      const Json& theirs = curve["expected"][ours.rule];
      const bool equal = theirs.is_null() ? !ours.lr : ours.lr && *ours.lr == theirs[0].get<double>() && ours.at_lr == theirs[1];
      EXPECT_TRUE(equal) << ours.rule << " of " << curve["name"] << ": " << theirs << " was expected and " << ours.lr.value_or(kNaN)
                         << " came";
      wrong += !equal;
      if (!theirs.is_null()) farthest = worse(farthest, std::abs(ours.at_loss - theirs[2].get<double>()));
    }
  }
  EXPECT_LE(farthest, 1e-5) << "where the dots stand: slide's between two points, by logarithms in f32";
  report({.id = "lr-find.suggestions",
          .what = "valley, slide, minimum and steep on 16 curves: basins, noise, NaN, plateaus, rising, too short",
          .against = document["made_with"],
          .measured = static_cast<double>(wrong),
          .tolerance = 0,
          .unit = "suggestions that differ",
          .tolerance_because = "the same comparisons of the same f32 numbers"});
}

TEST(LrFindParity, GrowsTheRateAsFastaisSchedule) {
  const Json document = Json::parse(std::ifstream(kFolder + "suggestions.json"));
  double farthest = 0;
  int i = 0;
  for (const Json& theirs : document["rates"]) farthest = worse(farthest, std::abs(nn::lr_find_rate({}, i++) / theirs.get<double>() - 1));
  EXPECT_EQ(i, LrFindOptions{}.iterations);
  report({.id = "lr-find.rates",
          .what = "the rates of lr_find's 100 iterations, 1e-7 to 8.3",
          .against = document["made_with"],
          .measured = farthest,
          .tolerance = 1e-15,
          .unit = "relative",
          .tolerance_because = "one power in double"});
}

// Given pictures, three batches of four, repeated.
class Given final : public nn::Batches {
 public:
  static constexpr int64_t kPictures = 12, kBatch = 4;
  static constexpr int kSide = 16, kClasses = 6;

  Given() {
    const std::vector<double> units = test::units("lr_find.pictures", kPictures * kSide * kSide * 3);
    auto from = units.begin();
    for (data::Batch& batch : batches_) {
      batch = {.n = kBatch, .size = kSide};
      for (int i = 0; i < kBatch * kSide * kSide * 3; ++i) batch.pixels.push_back(static_cast<uint8_t>(256 * *from++));
      for (int64_t i = 0; i < kBatch; ++i) batch.items.push_back((&batch - batches_.data()) * kBatch + i);
      for (const int64_t item : batch.items) batch.labels.push_back(item % kClasses);
    }
  }
  int64_t batches_per_epoch() const override { return static_cast<int64_t>(batches_.size()); }
  int64_t pictures_per_epoch() const override { return kPictures; }
  void start(int64_t) override { next_ = 0; }
  const data::Batch* next() override { return next_ < batches_.size() ? &batches_[next_++] : nullptr; }

 private:
  std::array<data::Batch, kPictures / kBatch> batches_;
  size_t next_ = 0;
};

class LrFindRuns : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Runs, LrFindRuns, testing::Values("unfrozen", "frozen", "runaway"),
                         [](const auto& tested) { return tested.param; });

std::string what_of(const std::string& run) {
  if (run == "unfrozen") return "12 smoothed losses of lr_find on ResNet18, rates 1e-7 to 4.6e-4; all put back";
  if (run == "frozen") return "12 smoothed losses of lr_find on the frozen ResNet18, rates 1e-5 to .38; all put back";
  return "lr_find on the frozen ResNet18 at rates so large that it stops after 4 of 8 iterations; all put back";
}

TEST_P(LrFindRuns, GoesAsFastaisInDouble) {
  const std::string run = GetParam();
  const weights::StateDict oracle = weights::read_safetensors(kFolder + "curve.safetensors");
  const auto& metadata = oracle.metadata;
  const auto wanted_lrs = oracle.at(run + ".lrs").values<double>(), wanted = oracle.at(run + ".losses").values<double>();

  Device& device = open_device("reference");
  nn::ResNet model({.classes = Given::kClasses}, {.device = device, .dtype = DType::f64});
  test::fill_by_name(model);
  test::set_dropout(model, 0);
  nn::ModelInfo info{.vocabulary = std::vector<std::string>(Given::kClasses), .resize = Given::kSide, .size = Given::kSide};
  nn::Learner learner(model, std::make_unique<Given>(), std::make_unique<Given>(), info, {.augmentation = false});
  if (run != "unfrozen") nn::freeze(model, learner.optimizer());
  std::vector<std::vector<double>> before;
  for (const Tensor& tensor : learner.snapshot().values) before.push_back(tensor.to_doubles());

  const LrFindResult result = nn::lr_find(learner, {.start_lr = std::stod(metadata.at(run + ".start_lr")),
                                                    .end_lr = std::stod(metadata.at(run + ".end_lr")),
                                                    .iterations = std::stoi(metadata.at(run + ".num_it"))});
  const bool same_end = result.losses.size() == wanted.size();
  EXPECT_TRUE(same_end) << result.losses.size() << " iterations, not " << wanted.size();
  double losses = same_end ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(wanted.size(), result.losses.size()); ++i) {
    EXPECT_NEAR(result.lrs[i] / wanted_lrs[i], 1, 1e-15);
    losses = worse(losses, std::abs(result.losses[i] / wanted[i] - 1));
  }
  const std::vector<Tensor> after = learner.snapshot().values;
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i].to_doubles(), before[i]) << "not put back";
  for (const nn::OptimizerSlot& slot : learner.optimizer().kept()) EXPECT_TRUE(slot.tensors.empty()) << slot.name;

  report({.id = "lr-find." + run,
          .what = what_of(run),
          .against = metadata.at("made_with"),
          .measured = losses,
          .tolerance = 1e-8,
          .unit = "relative",
          .tolerance_because = "sums in another order in double, made larger by each step: PyTorch differs from itself by up to 2e-9"});
}

}  // namespace
}  // namespace mirilla::parity
