// SPDX-License-Identifier: MIT
#include "nn/explain/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/modules/resnet.h"

namespace mirilla::nn {
namespace {

constexpr int kSide = 32;

Tensor noise(int64_t n, uint32_t item = 0) {
  std::vector<float> values;
  const RandomKey key{.seed = 4, .purpose = Purpose::kTest, .item = item};
  for (uint32_t i = 0; i < static_cast<uint32_t>(n * kSide * kSide * 3); ++i) values.push_back(2 * to_unit(key.bits(i)) - 1);
  return from_host(values, {n, kSide, kSide, 3}, open_device("cpu"));
}

double sum_of_sizes(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0, [](double total, float value) { return total + std::abs(value); });
}

class Attributed : public testing::Test {
 protected:
  void SetUp() override {
    const tape::NoGrad no_grad;
    model_(noise(4, 1));
    model_.evaluate();
  }
  std::vector<double> logits_of(const Tensor& picture) {
    const tape::NoGrad no_grad;
    return model_(picture).to_doubles();
  }
  // d logit / d picture
  std::vector<float> gradient_of(const Tensor& picture, int target) {
    return smoothgrad(model_, picture, std::vector{Target{{{target}}}}, {.samples = 1, .level = 0}).at(0).values;
  }
  ResNet model_{{.classes = 3, .seed = 2}, {.device = open_device("cpu")}};
  const std::vector<Target> target_{Target{{{2}, {0, -1}}}};
};

TEST_F(Attributed, IntegratedGradientsAddUpToTheDifferenceOfTheScores) {
  const Tensor pictures = noise(2), baseline = noise(1, 9);
  const auto score = [&](const Tensor& picture) { return score_of(target_[0], logits_of(picture)); };
  for (const Tensor& from : {Tensor(), baseline}) {
    const auto all = integrated_gradients(model_, pictures, target_, {.steps = 100, .baseline = from, .batch = {.batch_size = 48}});
    for (int64_t i = 0; i < 2; ++i) {
      const auto& values = all[static_cast<size_t>(i)].values;
      const double difference =
          score(pictures.slice(i, i + 1)) - score(from ? from : zeros(baseline.shape(), DType::f32, baseline.device()));
      ASSERT_GT(std::abs(difference), 0.005 * sum_of_sizes(values)) << "the sum would say nothing";
      EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), difference, 0.002 * sum_of_sizes(values));
    }
  }
}

TEST_F(Attributed, SmoothGradWithoutNoiseIsTheGradient) {
  const std::vector<float> gradient = gradient_of(noise(1), 1);
  // A step along the gradient moves the logit by its squared length.
  constexpr double kStep = 1e-3;
  double length = 0;
  for (const float g : gradient) length += static_cast<double>(g) * g;
  const auto logit_at = [&](double step) {
    std::vector<float> moved = noise(1).to_vector<float>();
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(step / std::sqrt(length)) * gradient[i];
    return logits_of(from_host(moved, {1, kSide, kSide, 3}, open_device("cpu")))[1];
  };
  EXPECT_NEAR((logit_at(kStep) - logit_at(-kStep)) / (2 * kStep), std::sqrt(length), 0.05 * std::sqrt(length));
}

TEST_F(Attributed, SmoothGradIsTheSeedsAlone) {
  const auto with = [&](uint64_t seed, int64_t batch_size) {
    return smoothgrad(model_, noise(2), target_, {.samples = 5, .seed = seed, .batch = {.batch_size = batch_size}}).at(1).values;
  };
  const std::vector<float> one = with(1, 5), again = with(1, 2), other = with(2, 5);
  double largest = 0, apart = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(one[i])));
    apart = std::max(apart, std::abs(static_cast<double>(one[i]) - other[i]));
    ASSERT_NEAR(one[i], again[i], 1e-5);
  }
  EXPECT_GT(apart, 0.1 * largest);
}

TEST_F(Attributed, GuidedBackpropagationEndsWithTheCall) {
  const std::vector<float> before = gradient_of(noise(1), 0);
  const auto guided = guided_backpropagation(model_, noise(1), std::vector{Target{{{0}}}});
  EXPECT_NE(guided[0].values, before);
  EXPECT_EQ(gradient_of(noise(1), 0), before);
}

TEST_F(Attributed, GuidedGradCamIsGuidedBackpropagationWhereTheMapIs) {
  const auto guided = guided_backpropagation(model_, noise(1), target_), both = guided_grad_cam(model_, noise(1), "layer2", target_);
  double largest = 0;
  for (size_t k = 0; k < both[0].values.size(); ++k) {
    ASSERT_LE(std::abs(both[0].values[k]), std::abs(guided[0].values[k]) * 1.0001f);
    if (guided[0].values[k] != 0) largest = std::max(largest, static_cast<double>(both[0].values[k] / guided[0].values[k]));
  }
  EXPECT_NEAR(largest, 1, 1e-4);
}

TEST_F(Attributed, OcclusionCoversThePictureToItsEdge) {
  // Squares begin at 0, 9, 18 and 20: row 12 is covered only by those at 9, column 31 by those at 20.
  const auto all = occlusion(model_, noise(2), target_, {.window = 12, .stride = 9, .fill = 0.25, .batch = {.batch_size = 4}});
  ASSERT_EQ(all[1].values.size(), static_cast<size_t>(kSide * kSide));
  const auto lost = [&](size_t top, size_t left) {
    std::vector<float> covered = noise(2).slice(1, 2).to_vector<float>();
    for (size_t y = top; y < top + 12; ++y)
      std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>((y * kSide + left) * 3), 12 * 3, 0.25f);
    return score_of(target_[0], logits_of(noise(2).slice(1, 2))) -
           score_of(target_[0], logits_of(from_host(covered, {1, kSide, kSide, 3}, open_device("cpu"))));
  };
  EXPECT_NEAR(all[1].values[12 * kSide + 31], lost(9, 20), 1e-5);
  EXPECT_NEAR(all[1].values[0], lost(0, 0), 1e-5);
  EXPECT_NEAR(all[1].values[31 * kSide + 10], (lost(20, 0) + lost(20, 9)) / 2, 1e-5);
}

TEST_F(Attributed, OcclusionIsZeroWhereNoSquareLies) {
  const auto all = occlusion(model_, noise(1), target_, {.window = 4, .stride = 28});
  EXPECT_NE(all[0].values[0], 0);
  EXPECT_EQ(all[0].values[16 * kSide + 16], 0);
}

TEST_F(Attributed, WhatMakesNoSenseIsRefused) {
  EXPECT_THROW(occlusion(model_, noise(1), target_, {.window = kSide + 1}), UsageError);
  EXPECT_THROW(occlusion(model_, noise(1), target_, {.stride = -1}), UsageError);
  EXPECT_THROW(integrated_gradients(model_, noise(1), target_, {.steps = 0}), UsageError);
  EXPECT_THROW(integrated_gradients(model_, noise(1), target_, {.baseline = noise(2)}), ShapeError);
  EXPECT_THROW(smoothgrad(model_, noise(1), target_, {.samples = 0}), UsageError);
  EXPECT_THROW(smoothgrad(model_, noise(1), target_, {.level = std::nan("")}), UsageError);
  EXPECT_THROW(signed_picture({.height = 1, .width = 1, .channels = 1, .values = {0}}), UsageError);
}

TEST(AttributionPictures, ShowNothingAsGreyAndAsBlack) {
  const Attribution nothing{.height = 2, .width = 2, .channels = 3, .values = std::vector<float>(12, 0.0f)};
  for (const uint8_t value : signed_picture(nothing).pixels) EXPECT_EQ(value, 127);
  for (const float value : magnitude(nothing)) EXPECT_EQ(value, 0);
}

TEST(AttributionPictures, AddUpTheColoursWhateverTheirSigns) {
  const Attribution two{.height = 1, .width = 2, .channels = 3, .values = {-1, 2, -3, 1, 1, 1}};
  const std::vector<float> sums = magnitude(two);  // of two values the 99th percentile is the first by rank
  EXPECT_FLOAT_EQ(sums[0], 1);
  EXPECT_FLOAT_EQ(sums[1], 1);
}

}  // namespace
}  // namespace mirilla::nn
