// SPDX-License-Identifier: MIT
#include "nn/explain/cam.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/amp/autocast.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/explain/cam_formulas.h"
#include "nn/explain/explain.h"
#include "nn/explain/run_after.h"
#include "nn/modules/resnet.h"

namespace mirilla::nn {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int kSide = 64;

Tensor noise(int64_t n, uint32_t item = 0) {
  std::vector<float> values;
  const RandomKey key{.seed = 4, .purpose = Purpose::kTest, .item = item};
  for (uint32_t i = 0; i < static_cast<uint32_t>(n * kSide * kSide * 3); ++i) values.push_back(2 * to_unit(key.bits(i)) - 1);
  return from_host(values, {n, kSide, kSide, 3}, open_device("cpu"));
}

// A network whose batch norms have nontrivial statistics.
class Explained : public testing::Test {
 protected:
  void SetUp() override {
    const tape::NoGrad no_grad;
    model_(noise(4, 1));
  }
  std::vector<float> map_of(ExplainOptions options, const Tensor& pictures, size_t picture = 0) {
    options.layers = {"layer3"};
    return cam(model_, pictures, options).at(picture).maps.at(0).values;
  }
  ResNet model_{{.classes = 3, .seed = 2}, {.device = open_device("cpu")}};
};

double furthest(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

double largest(const std::vector<float>& a) { return furthest(a, std::vector<float>(a.size(), 0.0f)); }

TEST_F(Explained, ABatchWithATargetForEachPictureIsItsPicturesOneByOne) {
  const Tensor batch = noise(3);
  const std::vector<Target> targets{Target{{{2}}}, Target{{{0}, {1, -1}}}, Target{}};
  for (const char* method : {"gradcam", "gradcam++", "eigengradcam"}) {
    const auto together = cam(model_, batch, {.method = method, .layers = {"layer3", "layer2"}, .targets = targets});
    ASSERT_EQ(together.size(), 3u);
    for (int64_t i = 0; i < 3; ++i) {
      const auto n = static_cast<size_t>(i);
      const auto alone = cam(model_, batch.slice(i, i + 1), {.method = method, .layers = {"layer3", "layer2"}, .targets = {targets[n]}});
      EXPECT_EQ(alone[0].target, together[n].target);
      for (size_t layer = 0; layer < 2; ++layer) {
        const auto& one = alone[0].maps[layer].values;
        EXPECT_LT(furthest(one, together[n].maps[layer].values), 1e-5 * largest(one)) << method << " " << i;
      }
    }
  }
}

TEST_F(Explained, GradCamIsTheOneOfASinglePicture) {
  const GradCam one = grad_cam(model_, noise(1), {"layer4", "layer3"}, 1, CamStyle::course);
  const auto batch = cam(model_, noise(1), {.layers = {"layer4", "layer3"}, .targets = {Target{{{1}}}}});
  for (size_t layer = 0; layer < 2; ++layer)
    EXPECT_LT(furthest(one.maps[layer].values, batch[0].maps[layer].values), 1e-6 * largest(one.maps[layer].values));
}

TEST_F(Explained, GradCamOfHalvesIsSummedAndKeptInSingle) {
  const amp::Autocast autocast(DType::f16);
  const GradCam one = grad_cam(model_, noise(1), {"layer3"}, 1, CamStyle::course);
  const std::vector<float>& values = one.maps[0].values;
  EXPECT_TRUE(std::any_of(values.begin(), values.end(), [](float v) { return static_cast<float>(Half(v)) != v; }));
}

TEST_F(Explained, ATargetOfNoWeightGivesZerosAndNotNaN) {
  for (const std::string& method : cam_methods()) {
    if (method == "eigencam" || method == "scorecam") continue;  // they use no gradient of the score
    const ExplainOptions options{.method = method, .targets = {Target{{{0, 0}}}}, .style = CamStyle::paper};
    EXPECT_THAT(map_of(options, noise(1)), Each(0.0f)) << method;
  }
}

TEST_F(Explained, AblationTakesSharesOfTheScoreWhateverItsSign) {
  const auto of_weight = [&](double weight) { return map_of({.method = "ablationcam", .targets = {Target{{{1, weight}}}}}, noise(1)); };
  const std::vector<float> map = of_weight(1);
  EXPECT_GT(largest(map), 0);
  EXPECT_LT(furthest(map, of_weight(-1)), 1e-6 * largest(map));
}

TEST(ScaledMap, OfNegativeValuesIsZeroInThePapersStyle) {
  const std::vector<float> negative{-3, -1, -2};
  EXPECT_THAT(scaled_map(negative, CamStyle::paper), Each(0.0f));
  EXPECT_NEAR(scaled_map(negative, CamStyle::course)[1], 1, 1e-6);
  EXPECT_THAT(scaled_map(std::vector<float>{5, 5}, CamStyle::course), Each(0.0f));
}

TEST(FusedMap, TakesTheMeanOrTheLargest) {
  const std::vector<CamMap> maps{{"a", 1, 3, {0, 2, 4}}, {"b", 1, 3, {2, 0, 1}}};  // in [0,1]: 0, 1/2, 1 and 1, 0, 1/2
  const CamMap mean = fused_map(maps, Fuse::mean, CamStyle::paper, 1, 3), max = fused_map(maps, Fuse::max, CamStyle::paper, 1, 3);
  EXPECT_EQ(mean.layer, "a+b");
  EXPECT_LT(furthest(mean.values, {0.5f, 0, 1}), 1e-6) << "of 1/2, 1/4, 3/4";
  EXPECT_LT(furthest(max.values, {1, 0, 1}), 1e-6) << "of 1, 1/2, 1";
  EXPECT_THROW(fused_map({}, Fuse::mean, CamStyle::paper, 1, 2), UsageError);
}

TEST_F(Explained, SmoothingOfAMirroredPictureIsTheMirroredMap) {
  const Tensor picture = noise(1);
  std::vector<float> mirrored = picture.to_vector<float>();
  for (size_t row = 0; row < kSide; ++row)
    for (size_t x = 0; x < kSide / 2; ++x)
      std::swap_ranges(mirrored.begin() + static_cast<std::ptrdiff_t>((row * kSide + x) * 3),
                       mirrored.begin() + static_cast<std::ptrdiff_t>((row * kSide + x) * 3 + 3),
                       mirrored.begin() + static_cast<std::ptrdiff_t>((row * kSide + kSide - 1 - x) * 3));
  const ExplainOptions options{.targets = {Target{{{1}}}}, .style = CamStyle::paper, .smooth = true};
  const std::vector<float> map = map_of(options, picture);
  std::vector<float> other = map_of(options, from_host(mirrored, picture.shape(), picture.device()));
  ASSERT_EQ(map.size(), static_cast<size_t>(kSide * kSide));
  for (auto row = other.begin(); row != other.end(); row += kSide) std::reverse(row, row + kSide);
  EXPECT_LT(furthest(map, other), 1e-4);
}

TEST_F(Explained, TheNetworkIsLeftAsItWas) {
  for (NamedTensor parameter : model_.parameters()) parameter.tensor.set_requires_grad(false);
  const tape::NoGrad no_grad;
  ASSERT_TRUE(model_.training());
  for (const std::string& method : explanation_methods()) {
    const auto all = explain(model_, noise(1), {.method = method, .layers = {"layer3"}, .samples = 2, .window = 32, .stride = 32});
    const CamMap map = saliency(all.at(0));
    EXPECT_GT(largest(map.values), 0) << method;
    EXPECT_TRUE(model_.training()) << method;
    EXPECT_FALSE(model_.any_watched()) << method;
    EXPECT_EQ(panels_of(all[0], data::Picture(8, 8), {.method = method}).size(), 1u) << method;
  }
  EXPECT_FALSE(model_.parameters()[0].tensor.grad());
  EXPECT_THROW(is_cam("gradcam+++"), UsageError);
}

TEST_F(Explained, AnExceptionInTheMiddleLeavesNoTrace) {
  struct Stop {};
  const ExplainOptions options{.method = "ablationcam", .batch = {.progress = [](int64_t, int64_t) { throw Stop(); }}};
  EXPECT_THROW(cam(model_, noise(1), options), Stop);
  EXPECT_TRUE(model_.training());
  EXPECT_FALSE(model_.any_watched());
}

template <class F>
std::string sentence_of(F f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(Explained, WhatCannotBeExplainedIsRefusedWithASentence) {
  const Tensor small = from_host(std::vector<float>(32 * 32 * 3, 0.5f), {1, 32, 32, 3}, open_device("cpu"));
  EXPECT_THAT(sentence_of([&] { cam(model_, small); }), HasSubstr("'layer4' gives (1,1,1,512)"));
  EXPECT_THAT(sentence_of([&] { cam(model_, noise(1), {.layers = {"head.4"}}); }), HasSubstr("'head.4' gives"));
  EXPECT_THAT(sentence_of([&] { cam(model_, noise(1), {.method = "ablationcam", .layers = {"layer4.0.conv2"}}); }),
              HasSubstr("cannot continue from 'layer4.0.conv2' alone"));
  EXPECT_THAT(sentence_of([&] { cam(model_, noise(1), {.targets = {Target{{{3}}}}}); }), HasSubstr("expected a class from 0 to 2, got 3"));
  EXPECT_THAT(sentence_of([&] { cam(model_, noise(3), {.targets = {Target{}, Target{}}}); }), HasSubstr("one for all, got 2"));
  EXPECT_THAT(sentence_of([&] { cam(model_, noise(1), {.method = "occlusion"}); }),
              HasSubstr("there is no class activation map 'occlusion'"));
}

TEST_F(Explained, TheNoteIsOnTheMapBeforeStyleFusingAndSmoothing) {
  // HiResCAM at the last ReLU of a network whose linear layer is -1 everywhere: no place of layer4 speaks for a class.
  ResNet against{{.classes = 3, .head = Head::torchvision, .seed = 2}, {.device = open_device("cpu")}};
  for (NamedTensor parameter : against.at("fc").own_parameters()) parameter.tensor.fill(-1);
  const auto note_of = [&](ExplainOptions options) {
    options.targets = {Target{{{1}}}};
    return cam(against, noise(1), options).at(0).maps.at(0).note;
  };
  EXPECT_THAT(note_of({.style = CamStyle::paper}), HasSubstr("negative everywhere"));
  EXPECT_THAT(note_of({.method = "hirescam", .style = CamStyle::paper}), HasSubstr("'layer4' is negative everywhere"));
  EXPECT_THAT(note_of({.layers = {"layer4", "layer4.1.relu"}, .style = CamStyle::paper, .fuse = Fuse::mean}),
              HasSubstr("'layer4+layer4.1.relu' is negative everywhere"));
  EXPECT_THAT(note_of({.style = CamStyle::paper, .smooth = true}), HasSubstr("negative everywhere"));
  EXPECT_EQ(note_of({.style = CamStyle::course}), "");
  for (NamedTensor parameter : against.at("fc").own_parameters()) parameter.tensor.fill(0);
  EXPECT_THAT(note_of({.style = CamStyle::paper, .fuse = Fuse::max}), HasSubstr("zero everywhere"));
}

TEST_F(Explained, RunningOnFromAModuleGivesTheLogits) {
  model_.evaluate();
  const tape::NoGrad no_grad;
  for (const Head head : {Head::fastai, Head::torchvision}) {
    ResNet network{{.classes = 3, .head = head, .seed = 2}, {.device = open_device("cpu")}};
    network.evaluate();
    const std::vector<std::string> names{"relu", "maxpool", "layer2", "layer3.0", "layer3.0.relu", "layer3.1", "layer4", "layer4.1.relu"};
    std::vector<Watch> watches;
    for (const std::string& name : names) watches.push_back(network.watch(name));
    const std::vector<float> logits = network(noise(2)).to_vector<float>();
    std::vector<Tensor> outputs;
    for (const Watch& watch : watches) outputs.push_back(watch.activation(watch.calls() - 1).detach());
    for (size_t i = 0; i < names.size(); ++i)
      EXPECT_LT(furthest(run_after(network, names[i], outputs[i]).to_vector<float>(), logits), 1e-5 * largest(logits)) << names[i];
    for (const char* name : {"conv1", "layer3.0.conv2", "layer3.7", "layer3.0.downsample", "head", ""})
      EXPECT_THROW(run_after(network, name, outputs[0]), UsageError) << name;
  }
}

TEST(PrincipalProjection, IsAlongTheDirectionThatVariesMost) {
  // Four places on the line (1,2) through (5,5), at -3, 1, 1, 1 of its unit vector, which is (1,2) / sqrt 5.
  std::vector<double> rows;
  for (const double t : {-3.0, 1.0, 1.0, 1.0}) rows.insert(rows.end(), {5 + t / std::sqrt(5.0), 5 + 2 * t / std::sqrt(5.0)});
  const std::vector<double> map = principal_projection(rows, 2);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(map[i], i == 0 ? -3 : 1, 1e-12) << "the sign is that of the sums";
}

TEST(PrincipalProjection, IsTheSameByPlacesAndByChannels) {
  // Channels of zeros only change which of the two Gram matrices is smaller.
  constexpr size_t kPlaces = 6, kChannels = 4, kMore = 9;
  std::vector<double> rows, wider(kPlaces * kMore, 0.0);
  const RandomKey key{.seed = 8};
  for (uint32_t k = 0; k < kPlaces * kChannels; ++k) {
    rows.push_back(to_unit(key.bits(k)));
    wider[k / kChannels * kMore + k % kChannels] = rows.back();
  }
  const std::vector<double> by_channels = principal_projection(rows, kChannels), by_places = principal_projection(wider, kMore);
  for (size_t i = 0; i < kPlaces; ++i) EXPECT_NEAR(by_channels[i], by_places[i], 1e-10);
}

TEST(PrincipalProjection, OfEqualPlacesIsZero) { EXPECT_THAT(principal_projection(std::vector<double>{1, 2, 1, 2, 1, 2}, 2), Each(0.0)); }

}  // namespace
}  // namespace mirilla::nn
