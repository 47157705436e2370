// SPDX-License-Identifier: MIT
#include "nn/run/tta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "data/write/png_write.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/run/predict.h"
#include "tests/nn/synthetic.h"

// tests/parity/predict_parity_test.cpp compares with learn.tta of fastai.
namespace mirilla::nn {
namespace {

constexpr int kClasses = 3;
constexpr int kSide = 32;

class Tta : public testing::Test {
 protected:
  Tta() {
    set_host_threads(1);
    for (uint32_t i = 0; i < 5; ++i) {
      data::Picture picture(50, 40);
      const RandomKey key{.seed = 1, .item = i};
      for (size_t at = 0; at < picture.pixels.size(); ++at)
        picture.pixels[at] = static_cast<uint8_t>(key.bits(static_cast<uint32_t>(at / 64)) >> 24);
      files_.push_back(folder_ / ("picture" + std::to_string(i) + ".png"));
      data::write_png(files_.back().string(), picture);
    }
  }
  std::vector<std::vector<float>> said(const std::optional<TtaOptions>& tta, int64_t batch_size = 32, size_t first = 0) {
    std::vector<std::vector<float>> rows;
    const auto some = std::span<const std::filesystem::path>(files_).subspan(first);
    for (const Prediction& p : predict_files(model_, some, info_, {.batch_size = batch_size, .tta = tta}).pictures)
      rows.push_back(p.probabilities);
    return rows;
  }

  ResNet model_{{.classes = kClasses, .seed = 2}, {.device = open_device("cpu")}};
  ModelInfo info_ = small_info(kClasses, kSide);
  TemporaryFolder folder_;
  std::vector<std::filesystem::path> files_;
};

TEST_F(Tta, MixesMeansOrTakesTheLargest) {
  const std::vector<std::vector<double>> passes{{0.2, 0.8}, {0.4, 0.6}};
  const std::vector<double> plain{0.7, 0.3};
  EXPECT_THAT(combine_tta(passes, plain, {}), testing::ElementsAre(testing::DoubleEq(0.4), testing::DoubleEq(0.6)));
  EXPECT_THAT(combine_tta(passes, plain, {.beta = 1}), testing::ElementsAre(testing::DoubleEq(0.7), testing::DoubleEq(0.3)));
  EXPECT_THAT(combine_tta(passes, plain, {.use_max = true}), testing::ElementsAre(0.7, 0.8));
  EXPECT_THROW(combine_tta(passes, std::vector<double>{1}, {}), ShapeError);
}

TEST_F(Tta, GivesProbabilitiesThatDependOnTheSeedAlone) {
  const auto first = said(TtaOptions{.seed = 7});
  EXPECT_EQ(said(TtaOptions{.seed = 7}), first);
  EXPECT_NE(said(TtaOptions{.seed = 8}), first);
  EXPECT_NE(said(std::nullopt), first);
  for (const auto& row : first) EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1, 1e-6);
}

TEST_F(Tta, WithoutAShareOfThePassesIsThePlainPrediction) {
  const auto plain = said(std::nullopt), mixed = said(TtaOptions{.n = 2, .beta = 1});
  for (size_t i = 0; i < plain.size(); ++i)
    for (size_t c = 0; c < plain[i].size(); ++c) EXPECT_NEAR(mixed[i][c], plain[i][c], 1e-6);
}

TEST_F(Tta, DrawsOneCropABatchAndTheRestForEachPictureInEachPass) {
  const std::vector<int64_t> items{0, 1, 2};
  const TtaOptions options;
  const auto rows = [&](int64_t batch, int pass) { return tta_rows(options, info_, batch, pass, items); };
  const auto crop = [](const std::vector<float>& all, size_t picture) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(picture * kAugmentParameters) + 14;
    return std::vector<float>(begin, begin + 4);
  };
  std::set<std::vector<float>> crops;
  for (int64_t batch = 0; batch < 4; ++batch)
    for (int pass = 0; pass < 4; ++pass) {
      EXPECT_EQ(crop(rows(batch, pass), 0), crop(rows(batch, pass), 2));
      crops.insert(crop(rows(batch, pass), 0));
    }
  EXPECT_GT(crops.size(), 8u) << "of 16 crops of 28 to 32 pixels";
  const std::vector<float> one = rows(0, 0);
  EXPECT_FALSE(std::equal(one.begin(), one.begin() + 14, one.begin() + kAugmentParameters)) << "two pictures alike";
}

TEST_F(Tta, SaysTheSameOfAPictureBesideOthersOfItsBatch) {
  const auto all = said(TtaOptions{}, 32);
  files_.resize(2);
  const auto two = said(TtaOptions{}, 32);
  for (size_t i = 0; i < two.size(); ++i)
    for (size_t c = 0; c < two[i].size(); ++c) EXPECT_NEAR(two[i][c], all[i][c], 1e-6);
}

TEST_F(Tta, RefusesWhatMakesNoSense) {
  EXPECT_THROW(said(TtaOptions{.n = 0}), UsageError);
  EXPECT_THROW(said(TtaOptions{.beta = 1.5}), UsageError);
  EXPECT_THROW(said(TtaOptions{.beta = NAN}), UsageError);
}

TEST_F(Tta, EvaluatesWithTheMixedProbabilities) {
  StripedBatches augmented(5, 2, kSide, kClasses), plain(5, 2, kSide, kClasses);
  int64_t pictures = 0;
  const TtaOptions options{.n = 3, .beta = 0.5};
  const Evaluation evaluation =
      evaluate_tta(model_, augmented, plain, info_, options, {.after_batch = [&](int64_t, int64_t n) { pictures += n; }});
  EXPECT_EQ(pictures, 4 * 5);
  EXPECT_EQ(augmented.started(), (std::vector<int64_t>{0, 1, 2}));
  ASSERT_EQ(evaluation.n, 5);
  // The second batch by hand.
  const data::Batch& batch = plain.batches()[1];
  std::vector<std::vector<double>> passes;
  for (int pass = 0; pass < options.n; ++pass)
    passes.push_back(probabilities(
        model_, {.pixels = batch.pixels, .n = batch.n, .rows = tta_rows(options, info_, 1, pass, batch.items), .lighting = true}, info_,
        amp::Precision::fp32));
  const auto once = probabilities(model_, {.pixels = batch.pixels, .n = batch.n, .rows = data::validation_parameters(2, kSide, kSide)},
                                  info_, amp::Precision::fp32);
  const std::vector<double> mixed = combine_tta(passes, once, options);
  const ItemResult& item = evaluation.items[3];
  EXPECT_EQ(item.probability, *std::max_element(mixed.begin() + kClasses, mixed.end()));
  EXPECT_EQ(item.loss, -std::log(mixed[static_cast<size_t>(kClasses + item.actual)]));
  EXPECT_NEAR(evaluation.accuracy, static_cast<double>(evaluation.correct) / 5, 1e-12);
}

TEST_F(Tta, EvaluatesAsPlainlyWhereThePassesCountForNothing) {
  StripedBatches augmented(5, 2, kSide, kClasses), plain(5, 2, kSide, kClasses);
  const Evaluation mixed = evaluate_tta(model_, augmented, plain, info_, {.n = 1, .beta = 1}), once = evaluate(model_, plain, info_);
  EXPECT_EQ(mixed.confusion, once.confusion);
  EXPECT_NEAR(mixed.loss, once.loss, 1e-5);
}

TEST_F(Tta, StopsEvaluatingAtAnInterrupt) {
  StripedBatches augmented(5, 2, kSide, kClasses), plain(5, 2, kSide, kClasses);
  std::atomic<bool> interrupt = true;
  EXPECT_THROW(evaluate_tta(model_, augmented, plain, info_, {}, {.interrupt = &interrupt}), Interrupted);
}

}  // namespace
}  // namespace mirilla::nn
