// SPDX-License-Identifier: MIT
#include "nn/run/predict.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "data/pictures/decode.h"
#include "data/pictures/resize.h"
#include "data/write/png_write.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr int kClasses = 3;

class PredictTest : public testing::Test {
 protected:
  ResNet model_{{.classes = kClasses, .seed = 2}, {.device = open_device("cpu")}};
  ModelInfo info_ = small_info(kClasses, 32);
  TemporaryFolder folder_;

  static data::Picture picture(uint32_t which, int width, int height) {
    data::Picture picture(width, height);
    const RandomKey key{.seed = 1, .item = which};
    for (size_t i = 0; i < picture.pixels.size(); ++i)
      picture.pixels[i] = static_cast<uint8_t>(key.bits(static_cast<uint32_t>(i / 64)) >> 24);
    return picture;
  }
  std::filesystem::path written(uint32_t which) {
    const auto path = folder_ / ("picture" + std::to_string(which) + ".png");
    data::write_png(path.string(), picture(which, 50, 40));
    return path;
  }
  std::filesystem::path broken(int which) {
    const auto path = folder_ / ("broken" + std::to_string(which) + ".png");
    std::ofstream(path) << "not a picture";
    return path;
  }
};

TEST_F(PredictTest, GivesProbabilitiesAndTheLikeliestClass) {
  const std::vector<data::Picture> pictures{picture(0, 50, 40), picture(1, 33, 64)};
  for (const Prediction& prediction : predict(model_, pictures, info_)) {
    ASSERT_EQ(prediction.probabilities.size(), static_cast<size_t>(kClasses));
    EXPECT_NEAR(std::accumulate(prediction.probabilities.begin(), prediction.probabilities.end(), 0.0), 1, 1e-6);
    for (const float p : prediction.probabilities) EXPECT_LE(p, prediction.probabilities[static_cast<size_t>(prediction.index)]);
  }
}

TEST_F(PredictTest, AgreesWithEvaluate) {
  StripedBatches batches(6, 6, 32, kClasses);
  info_.resize = 32;
  const Evaluation evaluation = evaluate(model_, batches, info_);
  std::vector<data::Picture> pictures;
  const data::Batch& batch = batches.batches()[0];
  for (size_t i = 0; i < 6; ++i) {
    pictures.emplace_back(32, 32);
    std::copy_n(batch.pixels.begin() + static_cast<std::ptrdiff_t>(i * 32 * 32 * 3), 32 * 32 * 3, pictures.back().pixels.begin());
  }
  const std::vector<Prediction> predictions = predict(model_, pictures, info_);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(predictions[i].index, evaluation.items[i].predicted);
    EXPECT_NEAR(predictions[i].probabilities[static_cast<size_t>(predictions[i].index)], evaluation.items[i].probability, 1e-6);
  }
}

TEST_F(PredictTest, SeesTheMiddleOfThePictureResizedAsInValidation) {
  info_.resize = 48;
  const data::Picture wide = picture(3, 100, 60);
  const data::Picture resized = resized_picture(wide, info_);
  EXPECT_EQ(resized, data::resize_bilinear(wide, {.x = 20, .y = 0, .width = 60, .height = 60}, 48, 48));
  const Tensor input = prepare(wide, info_, placement_of(model_));
  EXPECT_EQ(input.shape(), (Shape{1, 32, 32, 3}));
  // its corner is the resized picture's corner, normalised
  const std::vector<float> values = input.to_vector<float>();
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(values[c], (static_cast<float>(resized.pixels[c]) / 255 - info_.mean[c]) / info_.std[c], 1e-4);
}

TEST_F(PredictTest, GivesFilesInTheirOrderWhateverTheBatchSize) {
  std::vector<std::filesystem::path> files;
  for (uint32_t i = 0; i < 5; ++i) files.push_back(written(i));
  int64_t told = 0;
  const Predictions all = predict_files(model_, files, info_, {.batch_size = 32});
  const Predictions by_two =
      predict_files(model_, files, info_, {.batch_size = 2, .progress = [&](int64_t done, int64_t total) { told = 10 * done + total; }});
  EXPECT_EQ(told, 55);
  ASSERT_EQ(all.pictures.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(by_two.pictures[i].file, files[i].string());
    for (size_t c = 0; c < kClasses; ++c) EXPECT_NEAR(all.pictures[i].probabilities[c], by_two.pictures[i].probabilities[c], 1e-5);
  }
}

TEST_F(PredictTest, ListsAFewBadFilesAndContinues) {
  std::vector<std::filesystem::path> files{broken(0)};
  for (uint32_t i = 0; i < 19; ++i) files.push_back(written(i));
  const Predictions predictions = predict_files(model_, files, info_);
  EXPECT_EQ(predictions.pictures.size(), 19u);
  ASSERT_EQ(predictions.bad.size(), 1u);
  EXPECT_EQ(predictions.bad[0].file, files[0].string());
  EXPECT_NE(predictions.bad[0].reason.find("broken0.png"), std::string::npos);
}

TEST_F(PredictTest, ContinuesAfterBadFilesHoweverManyThereAre) {
  const std::vector<std::filesystem::path> files{broken(0), written(0), folder_ / "missing.png", written(1), broken(1)};
  const Predictions predictions = predict_files(model_, files, info_, {.batch_size = 1});
  ASSERT_EQ(predictions.pictures.size(), 2u);
  ASSERT_EQ(predictions.bad.size(), 3u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(predictions.pictures[i].place, 2 * i + 1);
    EXPECT_EQ(predictions.pictures[i].file, files[2 * i + 1].string());
    const Predictions alone = predict_files(model_, std::span(files).subspan(2 * i + 1, 1), info_);
    EXPECT_EQ(alone.pictures[0].probabilities, predictions.pictures[i].probabilities);
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(predictions.bad[i].place, 2 * i);
  EXPECT_NE(predictions.bad[0].hint.find("fetch it again"), std::string::npos) << predictions.bad[0].hint;
  EXPECT_TRUE(predict_files(model_, std::span(files).first(1), info_).pictures.empty());
}

TEST_F(PredictTest, SeesAPhotoAsItIsStoredUnlessTheModelExpectsItUpright) {
  const auto file = std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/data/exif.jpg";  // its EXIF orientation is 6
  for (const bool exif_rotate : {false, true}) {
    info_.exif_rotate = exif_rotate;
    const Predictions predictions = predict_files(model_, std::vector{file}, info_);
    const data::Picture seen = data::load_picture(file, {.exif_rotate = exif_rotate});
    EXPECT_EQ(seen.width < seen.height, exif_rotate);
    ASSERT_EQ(predictions.pictures.size(), 1u);
    EXPECT_EQ(predictions.pictures[0].orientation, 6);
    EXPECT_EQ(predictions.pictures[0].probabilities, predict(model_, std::vector{seen}, info_)[0].probabilities);
  }
}

TEST_F(PredictTest, LeavesTheModelsModeAsItWas) {
  EXPECT_TRUE(model_.training());
  predict(model_, std::vector<data::Picture>{picture(0, 32, 32)}, info_);
  EXPECT_TRUE(model_.training());
}

}  // namespace
}  // namespace mirilla::nn
