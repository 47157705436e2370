// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/pictures/decode.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/run/predict.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"

// tests/oracle/make_predict.py describes the file.
namespace mirilla::parity {
namespace {

using Json = nlohmann::json;
using Matrix = std::vector<std::vector<double>>;

// f32 networks that sum in different orders: 1e-7 was seen, and the order changes with the processor.
constexpr double kTolerance = 1e-6;

class PredictParity : public testing::Test {
 protected:
  PredictParity() {
    set_host_threads(1);
    test::fill_by_name(model_);
    Tensor last = model_.parameters().back().tensor;
    last.copy_from(from_host(test::values_for("predict.96", last.shape()), last.shape(), last.device()));
    for (const Json& file : oracle_["files"]) files_.push_back(MIRILLA_SOURCE_DIR "/tests/oracle/data/" + file.get<std::string>());
  }

  void report_row(const std::string& id, const std::string& what, double measured) {
    report({.id = id,
            .what = what,
            .against = oracle_["made_with"],
            .measured = measured,
            .tolerance = kTolerance,
            .unit = "of a probability",
            .tolerance_because = "the network's f32 sums in another order"});
  }
  // The pictures of one batch, resized with the crop that `crops` has for each.
  std::vector<uint8_t> resized(size_t begin, size_t end, const Json& crops) const {
    std::vector<uint8_t> pixels;
    for (size_t i = begin; i < end; ++i) {
      const auto draw = crops.is_null() ? std::array{0.5, 0.5} : crops[i].get<std::array<double, 2>>();
      const data::Picture square = data::resize_crop(data::load_picture(files_[i]), info_.resize, draw[0], draw[1]);
      pixels.insert(pixels.end(), square.pixels.begin(), square.pixels.end());
    }
    return pixels;
  }
  std::vector<float> rows_of(size_t begin, size_t end, const Json& pass) const {
    std::vector<float> rows;
    const auto box = pass["boxes"][begin / batch_size()].get<std::array<int, 4>>();
    for (size_t i = begin; i < end; ++i) {
      const Json& d = pass["draws"][i];
      const data::AugmentRow row = data::compose({.flip = d["flip"] == 1,
                                                  .degrees = d["degrees"],
                                                  .zoom = d["zoom"],
                                                  .zoom_x = d["zoom_x"],
                                                  .zoom_y = d["zoom_y"],
                                                  .warp_x = d["warp_x"],
                                                  .warp_y = d["warp_y"],
                                                  .brightness = d["brightness"],
                                                  .contrast = d["contrast"]},
                                                 {.x = box[0], .y = box[1], .width = box[2], .height = box[3]}, info_.resize, info_.resize);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
  }
  std::vector<double> probabilities(size_t begin, size_t end, std::span<const uint8_t> pixels, std::span<const float> rows, bool lighting) {
    return nn::probabilities(model_, {.pixels = pixels, .n = static_cast<int64_t>(end - begin), .rows = rows, .lighting = lighting}, info_,
                             amp::Precision::fp32);
  }
  // The plain pass over all files, and the passes with the oracle's draws.
  std::vector<double> plain() {
    const std::vector<float> rows = data::validation_parameters(static_cast<int>(files_.size()), info_.resize, info_.resize);
    return probabilities(0, files_.size(), resized(0, files_.size(), {}), rows, false);
  }
  std::vector<std::vector<double>> augmented() {
    std::vector<std::vector<double>> passes;
    for (const Json& pass : oracle_["passes"]) {
      std::vector<double>& all = passes.emplace_back();
      for (size_t begin = 0; begin < files_.size(); begin += batch_size()) {
        const size_t end = std::min(begin + batch_size(), files_.size());
        const auto some = probabilities(begin, end, resized(begin, end, pass["crops"]), rows_of(begin, end, pass), true);
        all.insert(all.end(), some.begin(), some.end());
      }
    }
    return passes;
  }
  size_t batch_size() const { return oracle_["batch_size"]; }

  static double farthest(std::span<const double> ours, const Json& theirs) {
    double most = 0;
    size_t at = 0;
    for (const Json& row : theirs)
      for (const Json& value : row) {
        const double off = std::abs(ours[at++] - value.get<double>());
        most = std::isnan(most) || most >= off ? most : off;  // NaN stays NaN
      }
    EXPECT_EQ(at, ours.size());
    return most;
  }

  Json oracle_ = Json::parse(std::ifstream(MIRILLA_SOURCE_DIR "/tests/oracle/predict/expected.json"));
  nn::ModelInfo info_{.vocabulary = oracle_["vocab"], .resize = oracle_["resize"], .size = oracle_["size"]};
  nn::ResNet model_{{.classes = 6}, {.device = open_device("cpu")}};
  std::vector<std::filesystem::path> files_;
};

TEST_F(PredictParity, SaysOfEachPictureWhatFastaiSays) {
  const nn::Predictions said = nn::predict_files(model_, files_, info_, {.batch_size = static_cast<int64_t>(batch_size())});
  ASSERT_EQ(said.pictures.size(), files_.size());
  std::vector<double> all, alone;
  for (size_t i = 0; i < files_.size(); ++i) {
    const nn::Prediction& ours = said.pictures[i];
    const Json& theirs = oracle_["predict"][i];
    EXPECT_EQ(ours.index, theirs["index"].get<int64_t>()) << files_[i];
    EXPECT_EQ(info_.vocabulary[static_cast<size_t>(ours.index)], theirs["label"]) << files_[i];
    all.insert(all.end(), ours.probabilities.begin(), ours.probabilities.end());
    const auto single = nn::predict_files(model_, std::span(files_).subspan(i, 1), info_).pictures.at(0).probabilities;
    alone.insert(alone.end(), single.begin(), single.end());
  }
  Json theirs = Json::array();
  for (const Json& entry : oracle_["predict"]) theirs.push_back(entry["probabilities"]);
  report_row("predict.one", "learn.predict of 6 files: jpg, CMYK, ppm, tall, wide; the same labels", farthest(alone, theirs));
  report_row("predict.batch", "learn.get_preds of the 6 files in batches of 4", farthest(all, oracle_["batch"]));
}

TEST_F(PredictParity, AveragesTheSamePassesAsFastaisTta) {
  const Json& theirs = oracle_["tta"];
  const std::vector<double> once = plain();
  const std::vector<std::vector<double>> passes = augmented();
  EXPECT_LE(farthest(once, theirs["plain"]), kTolerance);
  EXPECT_GT(farthest(once, theirs["mixed"]), 1000 * kTolerance) << "these passes cannot tell";
  report_row("predict.tta-passes", "the mean of 4 passes of learn.tta, draws given, Resize's crops and one crop a batch among them",
             farthest(nn::combine_tta(passes, once, {.beta = 0}), theirs["augmented"]));
  report_row("predict.tta", "learn.tta: a quarter of the plain picture, three of the 4 passes",
             farthest(nn::combine_tta(passes, once, {}), theirs["mixed"]));
  report_row("predict.tta-max", "learn.tta(use_max=True) of the same",
             farthest(nn::combine_tta(passes, once, {.use_max = true}), theirs["largest"]));
}

}  // namespace
}  // namespace mirilla::parity
