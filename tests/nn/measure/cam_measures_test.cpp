// SPDX-License-Identifier: MIT
#include "nn/measure/cam_measures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nn/measure/road.h"
#include "tests/oracle/named_values.h"

namespace mirilla::nn {
namespace {

using testing::Each;

constexpr int kSide = 24;
constexpr size_t kPixels = kSide * kSide;
constexpr RandomKey kTies{.seed = 5};

// --- The oracle's picture, maps and network: tests/oracle/make_cam_measures.py says what they are
// ------------------------------------------

std::vector<double> signed_units(std::string_view name, int64_t n, double factor) {
  std::vector<double> values = test::units(name, n);
  for (double& value : values) value = factor * (2 * value - 1);
  return values;
}

const std::vector<double>& picture() {
  static const std::vector<double> values = signed_units("measures.picture", kPixels * 3, 2);
  return values;
}

Subject subject() { return {picture(), kSide, kSide}; }

MeasuredMap map_of(const std::function<double(int x, int y)>& value) {
  MeasuredMap map{.height = kSide, .width = kSide, .cells = {.height = kSide, .width = kSide}};
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) map.values.push_back(value(x, y));
  map.strength = map.values;
  map.cells.values.assign(map.values.begin(), map.values.end());
  return map;
}

MeasuredMap noise_map() {
  const std::vector<double> values = test::units("measures.map", kPixels);
  return map_of([&](int x, int y) { return values[static_cast<size_t>(y * kSide + x)]; });
}

MeasuredMap blob_map() {
  return map_of([](int x, int y) { return std::exp(-((x - 9.3178) * (x - 9.3178) + (y - 13.4431) * (y - 13.4431) / 2) / 40); });
}

bool in_mask(int x, int y) { return x >= 8 && y >= 10 && x + y < 30; }

data::Picture mask() {
  data::Picture mask(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) std::fill_n(mask.at(x, y), 3, static_cast<uint8_t>(in_mask(x, y) ? 255 : 0));
  return mask;
}

std::vector<double> network(std::span<const double> pictures, int64_t n) {
  constexpr size_t kHidden = 8, kClasses = 3, kClass = 2;
  static const std::vector<double> a = signed_units("measures.hidden", kHidden * kPixels * 3, 1.0 / 12),
                                   b = signed_units("measures.output", kClasses * kHidden, 1);
  std::vector<double> confidences;
  for (size_t row = 0; row < static_cast<size_t>(n); ++row) {
    std::array<double, kClasses> logits{};
    for (size_t j = 0; j < kHidden; ++j) {
      const auto x = pictures.subspan(row * kPixels * 3, kPixels * 3);
      const double h = std::max(0.0, std::inner_product(x.begin(), x.end(), a.begin() + static_cast<std::ptrdiff_t>(j * x.size()), 0.0));
      for (size_t c = 0; c < kClasses; ++c) logits[c] += b[c * kHidden + j] * h;
    }
    double total = 0;
    for (const double logit : logits) total += std::exp(logit);
    confidences.push_back(std::exp(logits[kClass]) / total);
  }
  return confidences;
}

const nlohmann::json& oracle() {
  static const nlohmann::json read = [] {
    std::ifstream file(MIRILLA_SOURCE_DIR "/tests/oracle/cam_measures/measures.json");
    return nlohmann::json::parse(file);
  }();
  return read;
}

class ByTheOracle : public testing::TestWithParam<std::string> {
 protected:
  double wanted(const std::string& key) const { return oracle().at(GetParam() + "." + key).get<double>(); }
  MeasuredMap map() const { return GetParam() == "noise" ? noise_map() : blob_map(); }
};
constexpr double kF32 = 1e-6;  // the package rounds its results to f32

TEST_P(ByTheOracle, DropAndIncreaseAreThePackages) {
  const double whole = network(picture(), 1)[0], seen = network(seen_through(subject(), map()), 1)[0];
  EXPECT_NEAR(whole, wanted("whole"), 1e-12);
  EXPECT_NEAR(confidence_drop(whole, seen) * whole, wanted("drop"), kF32);
  EXPECT_EQ(seen > whole, wanted("increase") == 1);
}

TEST_P(ByTheOracle, RoadIsThePackagesUnderTheSameNoise) {
  const Road parts = road(subject(), strongest_first(map(), kTies), network,
                          {.percents = {20, 50, 90}, .key = {.seed = 3, .purpose = Purpose::kPointing}});
  EXPECT_NEAR(parts.most_first, wanted("most_first"), kF32);
  EXPECT_NEAR(parts.least_first, wanted("least_first"), kF32);
}

TEST_P(ByTheOracle, InsertionAndDeletionAreTheAreasOfNumpy) {
  const std::vector<uint32_t> order = strongest_first(map(), kTies);
  const std::vector<double> zeros(kPixels * 3, 0.0);
  EXPECT_NEAR(area_under(replacing_curve(blurred(subject()), picture(), order, 12, network)), wanted("insertion"), 1e-9);
  EXPECT_NEAR(area_under(replacing_curve(picture(), zeros, order, 12, network)), wanted("deletion"), 1e-9);
}

TEST_P(ByTheOracle, EnergyAndTheDistanceToTheMaskAreNumpys) {
  EXPECT_NEAR(energy_inside(map(), mask()), wanted("energy"), 1e-9);
  const double distance = wanted("pointing");
  EXPECT_TRUE(points_inside(map(), mask(), static_cast<int>(std::ceil(distance)), kTies));
  if (distance > 0) {
    EXPECT_FALSE(points_inside(map(), mask(), static_cast<int>(std::ceil(distance)) - 1, kTies));
  }
}

INSTANTIATE_TEST_SUITE_P(CamMeasures, ByTheOracle, testing::Values("noise", "blob"), [](const auto& map) { return map.param; });

TEST(CamMeasures, MissingPixelsAreThePackages) {
  const std::vector<uint32_t> order = strongest_first(blob_map(), kTies);
  std::vector<uint8_t> missing(kPixels, 0);
  for (const uint32_t at : std::span(order).first(kPixels / 2)) missing[at] = 1;  // from the median on
  const std::vector<double> ours = impute(subject(), missing);
  const auto theirs = oracle().at("imputed").get<std::vector<double>>();
  ASSERT_EQ(theirs.size(), kPixels);  // every third pixel, three colours
  for (size_t i = 0; i < theirs.size(); ++i) ASSERT_NEAR(ours[i / 3 * 9 + i % 3], theirs[i], 1e-6) << i;
}

TEST(CamMeasures, MapsAreComparedAsScipyDoes) {
  EXPECT_NEAR(relative_change(noise_map(), blob_map()), oracle().at("change").get<double>(), 1e-9);
  EXPECT_NEAR(rank_correlation(noise_map().values, blob_map().values), oracle().at("rank").get<double>(), 1e-9);
  EXPECT_NEAR(structural_similarity(noise_map(), blob_map()), oracle().at("similarity").get<double>(), 1e-9);
}

// --- Maps made by hand
// ----------------------------------------------------------------------------------------------------------------------

MeasuredMap perfect() {
  return map_of([](int x, int y) { return in_mask(x, y) ? 1.0 : 0.0; });
}
MeasuredMap opposite() {
  return map_of([](int x, int y) { return in_mask(x, y) ? 0.0 : 1.0; });
}

TEST(CamMeasures, ThePerfectMapHasAllEnergyInsideAndItsOppositeNone) {
  EXPECT_EQ(energy_inside(perfect(), mask()), 1);
  EXPECT_EQ(energy_inside(opposite(), mask()), 0);
  EXPECT_TRUE(points_inside(perfect(), mask(), 0, kTies));
  EXPECT_FALSE(points_inside(opposite(), mask(), 0, kTies));
}

TEST(CamMeasures, AFlatMapHasTheMasksShareInsideAndPointsAtRandom) {
  const MeasuredMap flat = measured_map({.height = 3, .width = 3, .values = std::vector<float>(9, 7.0f)}, kSide, kSide);
  EXPECT_THAT(flat.values, Each(1.0));
  EXPECT_NEAR(energy_inside(flat, mask()), share_inside(mask()), 1e-12);
  int hits = 0;
  for (uint32_t item = 0; item < 100; ++item) hits += points_inside(flat, mask(), 0, {.seed = 1, .item = item});
  EXPECT_GT(hits, 0);
  EXPECT_LT(hits, 100);
  EXPECT_NE(strongest_first(flat, {.seed = 1}), strongest_first(flat, {.seed = 2}));
  EXPECT_EQ(seen_through(subject(), flat), picture()) << "it hides nothing";
}

TEST(CamMeasures, AMapOfZerosIsEmptyAndGivesNumbers) {
  for (const float value : {0.0f, -2.0f, std::numeric_limits<float>::quiet_NaN()}) {
    const MeasuredMap map = measured_map({.height = 2, .width = 2, .values = std::vector<float>(4, value)}, kSide, kSide);
    EXPECT_TRUE(map.empty);
    EXPECT_THAT(map.values, Each(0.0));
    EXPECT_EQ(energy_inside(map, mask()), 0);
    EXPECT_FALSE(points_inside(map, mask(), 100, kTies));
    EXPECT_EQ(relative_change(map, map), 0);
    EXPECT_EQ(relative_change(map, perfect()), 1);
    EXPECT_EQ(relative_change(perfect(), map), 1);
    EXPECT_EQ(rank_correlation(map.values, perfect().values), 0);
  }
  EXPECT_EQ(confidence_drop(0, 0), 0);
}

TEST(CamMeasures, NegativeValuesCountNothing) {
  const MeasuredMap map = measured_map({.height = 1, .width = 2, .values = {-5, 2}}, 4, 8);
  EXPECT_FALSE(map.empty);
  EXPECT_EQ(map.values.front(), 0);
  EXPECT_EQ(map.values.back(), 1);
}

TEST(CamMeasures, ThePointIsAllowedFifteenPixelsOf224) {
  EXPECT_EQ(pointing_tolerance(224, 300), 15);
  EXPECT_EQ(pointing_tolerance(96, 96), 6);
  data::Picture dot(kSide, kSide);
  std::fill_n(dot.at(12, 4), 3, uint8_t{255});
  const MeasuredMap map = map_of([](int x, int y) { return x == 9 && y == 8 ? 1.0 : 0.0; });  // 3 and 4 pixels away, so 5
  EXPECT_TRUE(points_inside(map, dot, 5, kTies));
  EXPECT_FALSE(points_inside(map, dot, 4, kTies)) << "a disc, not a square";
  EXPECT_THROW(energy_inside(map, data::Picture(8, 8)), ShapeError);
}

// A network whose confidence is the share of the evidence that it sees.
Confidence sees(const std::vector<double>& whole) {
  return [&whole](std::span<const double> pictures, int64_t n) {
    std::vector<double> confidences;
    for (int64_t row = 0; row < n; ++row) {
      double right = 0, all = 0;
      for (size_t i = 0; i < kPixels; ++i) {
        if (!in_mask(static_cast<int>(i) % kSide, static_cast<int>(i) / kSide)) continue;
        const double error = std::abs(pictures[(static_cast<size_t>(row) * kPixels + i) * 3] - whole[i * 3]);
        right += std::max(0.0, 1 - error);
        ++all;
      }
      confidences.push_back(right / all);
    }
    return confidences;
  };
}

TEST(CamMeasures, ThePerfectMapInsertsFastDeletesFastAndItsOppositeSlowly) {
  const Confidence confidence = sees(picture());
  const std::vector<double> zeros(kPixels * 3, 0.0), start = blurred(subject());
  const auto good = strongest_first(perfect(), kTies), bad = strongest_first(opposite(), kTies);
  const auto insertion = [&](const auto& order) { return area_under(replacing_curve(start, picture(), order, 24, confidence)); };
  const auto deletion = [&](const auto& order) { return area_under(replacing_curve(picture(), zeros, order, 24, confidence)); };
  EXPECT_GT(insertion(good), insertion(bad) + 0.2);
  EXPECT_LT(deletion(good), deletion(bad) - 0.2);
  EXPECT_GT(road(subject(), good, confidence).combined(), 0.05);
  EXPECT_LT(road(subject(), bad, confidence).combined(), -0.05);
  const double seen = confidence(seen_through(subject(), perfect()), 1)[0];
  EXPECT_EQ(confidence_drop(1, seen), 0);
  EXPECT_GT(confidence_drop(1, confidence(seen_through(subject(), opposite()), 1)[0]), 0.3);
}

TEST(CamMeasures, ACurveBeginsAndEndsWithWholePictures) {
  const std::vector<double> zeros(kPixels * 3, 0.0);
  std::vector<double> first, last;
  const Confidence record = [&](std::span<const double> pictures, int64_t n) {
    first.assign(pictures.begin(), pictures.begin() + kPixels * 3);
    last.assign(pictures.end() - kPixels * 3, pictures.end());
    return std::vector<double>(static_cast<size_t>(n), 1.0);
  };
  const auto curve = replacing_curve(picture(), zeros, strongest_first(blob_map(), kTies), 7, record);
  EXPECT_EQ(curve.size(), 8u);
  EXPECT_EQ(first, picture());
  EXPECT_EQ(last, zeros);
  EXPECT_EQ(area_under(curve), 1);
}

TEST(CamMeasures, AFlatPictureStaysFlatWhereverItIsImputed) {
  const std::vector<double> grey(kPixels * 3, 0.25);
  std::vector<uint8_t> missing(kPixels, 1);
  missing[17] = 0;
  for (const double value : impute({grey, kSide, kSide}, missing)) ASSERT_NEAR(value, 0.25, 1e-6);
  missing[17] = 1;
  EXPECT_THAT(impute({grey, kSide, kSide}, missing), Each(0.0)) << "nothing is known";
  EXPECT_THAT(blurred({grey, kSide, kSide}), Each(testing::DoubleNear(0.25, 1e-12)));
}

TEST(CamMeasures, AMapIsLikeItselfAndRanksKnowNoScale) {
  const MeasuredMap map = blob_map();
  std::vector<double> cubed = map.values;
  for (double& value : cubed) value = value * value * value;
  EXPECT_NEAR(rank_correlation(map.values, cubed), 1, 1e-12);
  EXPECT_NEAR(structural_similarity(map, map), 1, 1e-12);
  EXPECT_EQ(relative_change(map, map), 0);
  EXPECT_NEAR(rank_correlation(std::vector<double>{1, 2, 2, 3}, std::vector<double>{3, 2, 2, 1}), -1, 1e-12);
}

TEST(CamMeasures, BaselinesAreWhatTheySay) {
  const CamMap centre = centre_map(5, 9);
  EXPECT_EQ(std::max_element(centre.values.begin(), centre.values.end()) - centre.values.begin(), 2 * 9 + 4);
  EXPECT_EQ(random_map(4, 4, {.seed = 1}).values, random_map(4, 4, {.seed = 1}).values);
  EXPECT_NE(random_map(4, 4, {.seed = 1}).values, random_map(4, 4, {.seed = 2}).values);
}

}  // namespace
}  // namespace mirilla::nn
