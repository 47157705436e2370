// SPDX-License-Identifier: MIT
#include "nn/measure/cam_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "data/scenes/scenes.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/files/model_tensors.h"
#include "nn/measure/randomise.h"
#include "nn/run/predict.h"

namespace mirilla::nn {
namespace {

using testing::HasSubstr;

constexpr int kSide = 32;

template <class F>
std::string sentence_of(F f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Two scenes with their masks, and batch norms that have seen them.
class Benched : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const ModelInfo info{.vocabulary = {"a", "b", "c"}, .resize = kSide, .size = kSide};
    Device& cpu = open_device("cpu");
    std::vector<data::Picture> pictures;
    for (uint32_t i = 0; i < 2; ++i) {
      const data::Scene scene = data::draw_scene(data::SceneClass::kSea, 1, i, kSide);
      pictures.push_back(scene.picture);
      data::Picture mask(kSide, kSide);
      for (size_t k = 0; k < mask.pixels.size(); ++k) mask.pixels[k] = scene.mask[k / 3];
      drawn.push_back({.input = prepare(scene.picture, info, {.device = cpu}), .label = static_cast<int>(i), .mask = mask});
    }
    network = std::make_unique<ResNet>(ResNetSpec{.classes = 3, .seed = 2}, Placement{.device = cpu});
    const tape::NoGrad no_grad;
    (*network)(prepare(pictures, info, {.device = cpu}));
  }
  static void TearDownTestSuite() {
    network.reset();
    drawn.clear();
  }
  void SetUp() override { model_.train(); }

  CamBench bench(CamBenchOptions options) {
    options.layer = "layer2";  // 4x4 at 32 pixels
    options.steps = 4, options.perturbations = 2, options.samples = 2;
    return cam_bench(model_, subjects_, options);
  }

  inline static std::unique_ptr<ResNet> network;
  inline static std::vector<BenchSubject> drawn;
  std::vector<BenchSubject> subjects_ = drawn;
  ResNet& model_ = *network;
};

const BenchRow& row_of(const CamBench& bench, const std::string& method) {
  for (const BenchRow& row : bench.rows)
    if (row.method == method) return row;
  throw Error("no row " + method);
}

TEST_F(Benched, EveryMeasureGivesEveryMethodANumber) {
  const auto measures = cam_measures();
  const CamBench all = bench({.methods = {"gradcam", "guided", "smoothgrad"}, .measures = {measures.begin(), measures.end()}});
  ASSERT_EQ(all.rows.size(), 6u) << "three methods and three baselines";
  EXPECT_EQ(all.with_mask, 2);
  for (const BenchRow& row : all.rows)
    for (const MeasureColumn& column : all.columns) {
      ASSERT_TRUE(row.values.contains(column.name)) << row.method << " " << column.name;
      EXPECT_TRUE(std::isfinite(row.values.at(column.name).value)) << row.method << " " << column.name;
      EXPECT_EQ(row.values.at(column.name).n, 2) << row.method << " " << column.name;
    }
  EXPECT_TRUE(model_.training()) << "the mode is put back";
  // A method that does not use the network cannot react to random weights.
  for (const std::string& baseline : baseline_maps()) {
    EXPECT_NEAR(row_of(all, baseline).values.at("randomisation").value, 1, 1e-9) << baseline;
    EXPECT_TRUE(row_of(all, baseline).survives);
    EXPECT_EQ(row_of(all, baseline).values.at("sensitivity").value, 0);
  }
  EXPECT_LT(row_of(all, "gradcam").values.at("randomisation").value, 0.99);
  EXPECT_GT(row_of(all, "gradcam").values.at("sensitivity").value, 0);
}

TEST_F(Benched, TheSameSeedGivesTheSameTableAndBatchesDoNotMatter) {
  CamBenchOptions options{.methods = {"gradcam"}, .measures = {"pointing", "insertion", "road", "sensitivity"}};
  const CamBench one = bench(options);
  options.batch_size = 3;
  const CamBench other = bench(options);
  options.seed = 7;
  const CamBench reseeded = bench(options);
  bool differs = false;
  for (size_t r = 0; r < one.rows.size(); ++r)
    for (const auto& [column, value] : one.rows[r].values) {
      EXPECT_NEAR(value.value, other.rows[r].values.at(column).value, 1e-5) << one.rows[r].method << " " << column;
      differs = differs || std::abs(value.value - reseeded.rows[r].values.at(column).value) > 1e-5;
    }
  EXPECT_TRUE(differs);
}

TEST_F(Benched, OnlyTheRequestedMeasuresRun) {
  const CamBench few = bench({.methods = {"eigencam"}, .measures = {"drop"}});
  ASSERT_EQ(few.columns.size(), 1u);
  EXPECT_EQ(few.rows[0].values.size(), 1u);
  EXPECT_EQ(few.explained_again, 0);
}

TEST_F(Benched, PicturesWithoutAMaskCountForTheOtherMeasuresOnly) {
  subjects_[1].mask.reset();
  const CamBench some = bench({.methods = {"gradcam"}, .measures = {"energy", "drop"}});
  EXPECT_EQ(some.rows[0].values.at("energy").n, 1);
  EXPECT_EQ(some.rows[0].values.at("drop").n, 2);
  subjects_[0].mask.reset();
  EXPECT_THAT(sentence_of([&] {
                bench({.measures = {"drop", "pointing"}});
              }),
              HasSubstr("'pointing' asks whether a map lies on the evidence"));
}

TEST_F(Benched, UnknownNamesAreRefusedWithASentence) {
  EXPECT_THAT(sentence_of([&] { bench({.methods = {"gradcam+++"}}); }), HasSubstr("there is no method 'gradcam+++'"));
  EXPECT_THAT(sentence_of([&] { bench({.measures = {"beauty"}}); }), HasSubstr("there is no measure 'beauty'"));
  EXPECT_THAT(sentence_of([&] { cam_bench(model_, subjects_, {.layer = "layer9"}); }), HasSubstr("layer9"));
  EXPECT_THAT(sentence_of([&] { cam_bench(model_, subjects_, {.methods = {"ablationcam"}, .layer = "layer2.0.conv2"}); }),
              HasSubstr("cannot continue from"));
  EXPECT_THAT(sentence_of([&] { cam_bench(model_, {}, {}); }), HasSubstr("no correctly classified picture"));
}

TEST_F(Benched, AnExceptionFromProgressLeavesTheNetworkAsItWas) {
  struct Stop {};
  CamBenchOptions options{.methods = {"scorecam"}};
  options.progress = [](const std::string&, int64_t, int64_t) { throw Stop(); };
  EXPECT_THROW(bench(options), Stop);
  EXPECT_TRUE(model_.training());
  EXPECT_FALSE(model_.any_watched());
}

TEST_F(Benched, RandomisingGoesFromTheLogitsDown) {
  const std::vector<std::string> parts = parts_from_the_top(model_);
  EXPECT_EQ(parts, (std::vector<std::string>{"head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"}));
  const auto two = with_random_top(model_, 2, 9);
  EXPECT_FALSE(two->training());
  const auto before = parameters_and_buffers(model_), after = parameters_and_buffers(*two);
  bool changed_top = false;
  for (size_t i = 0; i < before.size(); ++i) {
    const bool same = before[i].tensor.to_doubles() == after[i].tensor.to_doubles();
    if (before[i].name.starts_with("head") || before[i].name.starts_with("layer4"))
      changed_top = changed_top || !same;
    else
      EXPECT_TRUE(same) << before[i].name;
  }
  EXPECT_TRUE(changed_top);
  const auto none = with_random_top(model_, 0, 9);
  model_.evaluate();
  const tape::NoGrad no_grad;
  EXPECT_EQ((*none)(subjects_[0].input).to_doubles(), model_(subjects_[0].input).to_doubles());
}

}  // namespace
}  // namespace mirilla::nn
