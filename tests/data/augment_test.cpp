// SPDX-License-Identifier: MIT
#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <thread>

#include "kernels/core/error.h"
#include "kernels/reference/reference.h"
#include "tests/data/oracle_draw.h"

namespace mirilla::data {
namespace {

constexpr uint32_t kDraws = 10000;

std::vector<PictureDraw> many_draws(const AugmentSpec& spec) {
  std::vector<PictureDraw> draws;
  for (uint32_t i = 0; i < kDraws; ++i) draws.push_back(draw_picture(spec, 17, i / 32, i % 32));
  return draws;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Expects the share to be p in n trials, within four standard deviations.
void expect_share(double share, double p, double n, std::string_view what) {
  EXPECT_NEAR(share, p, 4 * std::sqrt(p * (1 - p) / n)) << what;
}

/// Expects values that are `neutral` with probability 1 - p and else uniform between low and high.
void expect_kept_uniform(const std::vector<double>& values, double p, double low, double high, double neutral, std::string_view what) {
  SCOPED_TRACE(what);
  std::vector<double> kept;
  std::ranges::copy_if(values, std::back_inserter(kept), [&](double v) { return v != neutral; });
  expect_share(static_cast<double>(kept.size()) / static_cast<double>(values.size()), p, static_cast<double>(values.size()), "kept");
  std::ranges::sort(kept);
  EXPECT_GE(kept.front(), low);
  EXPECT_LE(kept.back(), high);
  double gap = 0;  // Kolmogorov-Smirnov: the largest distance between the drawn and the uniform distribution function
  for (size_t i = 0; i < kept.size(); ++i) {
    const double expected = (kept[i] - low) / (high - low), n = static_cast<double>(kept.size());
    gap = std::max({gap, std::abs(expected - static_cast<double>(i) / n), std::abs(expected - static_cast<double>(i + 1) / n)});
  }
  EXPECT_LT(gap * std::sqrt(static_cast<double>(kept.size())), 1.95);  // exceeded by one in a thousand
}

std::vector<double> each(const std::vector<PictureDraw>& draws, const std::function<double(const PictureDraw&)>& f) {
  std::vector<double> values;
  std::ranges::transform(draws, std::back_inserter(values), f);
  return values;
}

TEST(AugmentCompose, GivesFastaisMatricesAndHomographies) {
  for (const mirilla::test::AugmentCase& c : mirilla::test::augment_cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<float> rows = test::composed_rows(c);
    for (size_t n = 0; n < c.draws.size(); ++n) {
      for (size_t i = 0; i < (c.validation ? 18u : 20u); ++i)
        EXPECT_NEAR(rows[n * 20 + i], c.rows[n * 20 + i], 1e-6) << "row " << n << " entry " << i;
    }
  }
}

TEST(AugmentCompose, LeadsFromDrawsToFastaisPictures) {
  ReferenceBackend backend;
  for (const mirilla::test::AugmentCase& c : mirilla::test::augment_cases()) {
    SCOPED_TRACE(c.name);
    std::vector<float> rows = test::composed_rows(c);
    std::vector<float> y(c.expected.size());
    backend.run(op::Augment{.pictures = {c.pictures.data(), {c.n, c.height, c.width, 3}, DType::u8, 0, 0, true},
                            .parameters = {rows.data(), {c.n, kAugmentParameters}, DType::f32, 0, 0, true},
                            .lighting = !c.validation,
                            .mean = kImageNetMean,
                            .std = kImageNetStd,
                            .y = {y.data(), {c.n, c.out_height, c.out_width, 3}, DType::f32, true}});
    double most = 0;
    for (size_t i = 0; i < y.size(); ++i) most = std::max(most, std::abs(static_cast<double>(y[i]) - static_cast<double>(c.expected[i])));
    EXPECT_LT(most, 1e-5);
  }
}

TEST(AugmentCompose, LeavesAPictureUnchangedByDefault) {
  const AugmentRow row = compose({}, {0, 0, 64, 48}, 48, 64);
  EXPECT_EQ(row, (AugmentRow{1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 64, 48, 0, 1}));
}

TEST(AugmentCompose, RefusesACropOutsideAndAHorizonInside) {
  EXPECT_THROW(compose({}, {1, 0, 64, 48}, 48, 64), ShapeError);
  EXPECT_THROW(compose({}, {0, -1, 8, 8}, 48, 64), ShapeError);
  EXPECT_THROW(compose({}, {0, 0, 0, 8}, 48, 64), ShapeError);
  EXPECT_THROW(compose({.warp_x = 0.45, .warp_y = 0.45}, {0, 0, 64, 64}, 64, 64), Error);
}

TEST(AugmentHomography, TakesEachPointToItsPartner) {
  const Points from{{{-1.2, -0.9}, {-0.8, 1.1}, {1.15, -1}, {0.9, 0.7}}}, to{{{0.3, 0.4}, {-2, 5}, {1, -7}, {3, 2}}};
  const auto h = find_homography(to, from);
  for (size_t i = 0; i < 4; ++i) {
    const auto [x, y] = from[i];
    const double z = h[6] * x + h[7] * y + 1;
    EXPECT_NEAR((h[0] * x + h[1] * y + h[2]) / z, to[i][0], 1e-9);
    EXPECT_NEAR((h[3] * x + h[4] * y + h[5]) / z, to[i][1], 1e-9);
  }
}

TEST(AugmentHomography, RefusesPointsOnOneLine) {
  EXPECT_THROW(find_homography({{{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}}, {{{0, 0}, {1, 1}, {2, 2}, {0, 1}}}), Error);
}

TEST(AugmentDraws, AreFastaisDistributions) {
  const auto draws = many_draws({});
  expect_share(mean_of(each(draws, [](const auto& d) { return d.flip ? 1.0 : 0.0; })), 0.5, kDraws, "flip");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.degrees; }), 0.75, -10, 10, 0, "rotate");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.zoom; }), 0.75, 1, 1.1, 1, "zoom");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.zoom_x; }), 1, 0, 1, -1, "zoom_x");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.zoom_y; }), 1, 0, 1, -1, "zoom_y");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.warp_x; }), 0.75, -0.2, 0.2, 0, "warp_x");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.warp_y; }), 0.75, -0.2, 0.2, 0, "warp_y");
  expect_kept_uniform(each(draws, [](const auto& d) { return d.brightness; }), 0.75, 0.4, 0.6, 0.5, "brightness");
  expect_kept_uniform(each(draws, [](const auto& d) { return std::log(d.contrast); }), 0.75, std::log(0.8) - 1e-12, -std::log(0.8), 0,
                      "contrast");
}

TEST(AugmentDraws, DoNotDependOnEachOther) {
  const auto draws = many_draws({});
  const std::vector<std::function<bool(const PictureDraw&)>> kept = {
      [](const auto& d) { return d.degrees != 0; },  [](const auto& d) { return d.zoom != 1; },
      [](const auto& d) { return d.warp_x != 0; },   [](const auto& d) { return d.warp_y != 0; },
      [](const auto& d) { return d.contrast != 1; }, [](const auto& d) { return d.brightness != 0.5; }};
  for (size_t i = 0; i < kept.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      expect_share(mean_of(each(draws, [&](const auto& d) { return kept[i](d) && kept[j](d) ? 1.0 : 0.0; })), 0.5625, kDraws, "both");
    }
  }
}

TEST(AugmentDraws, NeverHappenAtProbabilityZeroAndAlwaysAtOne) {
  for (const PictureDraw& d : many_draws({.p_flip = 0, .p_affine = 0, .p_lighting = 0})) {
    EXPECT_EQ(d, (PictureDraw{.zoom_x = d.zoom_x, .zoom_y = d.zoom_y}));
  }
  for (const PictureDraw& d : many_draws({.p_flip = 1, .p_affine = 1, .p_lighting = 1})) EXPECT_TRUE(d.flip);
}

TEST(AugmentCrop, IsASquareOfThreeQuartersToTheWholeAreaAnywhereInside) {
  std::vector<double> areas, lefts, tops;
  std::set<std::pair<int, int>> corners;
  for (uint32_t step = 0; step < kDraws; ++step) {
    const Box crop = draw_crop({}, 3, step, 256, 256);
    ASSERT_EQ(crop.width, crop.height);
    ASSERT_TRUE(crop.x >= 0 && crop.y >= 0 && crop.x + crop.width <= 256 && crop.y + crop.height <= 256);
    areas.push_back(crop.width * crop.width / 65536.0);
    if (crop.width == 256) continue;
    lefts.push_back(crop.x / (256.0 - crop.width));
    tops.push_back(crop.y / (256.0 - crop.width));
    if (crop.x == 0 || crop.x == 256 - crop.width) corners.insert({crop.x != 0, crop.y > (256 - crop.width) / 2});
  }
  EXPECT_EQ(std::lround(std::sqrt(*std::ranges::min_element(areas)) * 256), 222);  // round(sqrt(.75) 256)
  EXPECT_EQ(*std::ranges::max_element(areas), 1.0);
  EXPECT_NEAR(mean_of(areas), 0.875, 0.003);
  EXPECT_NEAR(mean_of(lefts), 0.5, 0.015);
  EXPECT_NEAR(mean_of(tops), 0.5, 0.015);
  EXPECT_EQ(corners.size(), 4u);  // both ends are reached
}

TEST(AugmentCrop, FitsAPictureThatIsNotSquare) {
  int centred = 0;
  for (uint32_t step = 0; step < 200; ++step) {
    const Box crop = draw_crop({}, 3, step, 100, 130);  // sqrt(.75 * 13000) = 98.7, so most draws do not fit at first
    EXPECT_EQ(crop.width, crop.height);
    EXPECT_TRUE(crop.x >= 0 && crop.y >= 0 && crop.x + crop.width <= 130 && crop.y + crop.height <= 100);
    centred += crop == full_crop(100, 130);
  }
  EXPECT_GT(centred, 0);
  EXPECT_LT(centred, 200);
  EXPECT_EQ(draw_crop({}, 3, 0, 100, 300), full_crop(100, 300));  // none ever fits
  EXPECT_EQ(full_crop(100, 301), (Box{100, 0, 100, 100}));
}

TEST(AugmentParameters, ShareOneCropInABatchAndChangeItFromStepToStep) {
  std::set<std::vector<float>> crops;
  for (uint32_t step = 0; step < 20; ++step) {
    const auto rows = draw_parameters({}, 42, step, 32, 256, 256);
    ASSERT_EQ(rows.size(), 32u * 20);
    const std::vector<float> first(rows.begin() + 14, rows.begin() + 18);
    for (size_t n = 1; n < 32; ++n) EXPECT_TRUE(std::equal(first.begin(), first.end(), rows.begin() + static_cast<ptrdiff_t>(n * 20 + 14)));
    crops.insert(first);
  }
  EXPECT_GT(crops.size(), 18u);
}

TEST(AugmentParameters, AreTheSameWhoeverAsks) {
  const auto rows = draw_parameters({}, 42, 7, 16, 128, 128);
  EXPECT_EQ(draw_parameters({}, 42, 7, 16, 128, 128), rows);
  std::vector<std::vector<float>> of_threads(4);
  std::vector<std::jthread> threads;
  for (auto& mine : of_threads) threads.emplace_back([&mine] { mine = draw_parameters({}, 42, 7, 16, 128, 128); });
  threads.clear();
  for (const auto& mine : of_threads) EXPECT_EQ(mine, rows);
  EXPECT_NE(draw_parameters({}, 43, 7, 16, 128, 128), rows);
  EXPECT_NE(draw_parameters({}, 42, 8, 16, 128, 128), rows);
}

TEST(AugmentParameters, OfAnItemDoNotDependOnItsNeighbours) {
  const std::vector<int64_t> items{3, 900, 5}, alone{900};
  const auto together = draw_parameters({}, 1, 2, items, 64, 64), single = draw_parameters({}, 1, 2, alone, 64, 64);
  EXPECT_TRUE(std::equal(single.begin(), single.end(), together.begin() + 20));
}

TEST(AugmentParameters, OfValidationAreTheWholePictureUnchanged) {
  const auto rows = validation_parameters(3, 256, 256);
  ASSERT_EQ(rows.size(), 60u);
  const std::vector<float> expected{1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 256, 256, 0, 1};
  for (ptrdiff_t n = 0; n < 3; ++n) EXPECT_EQ(std::vector<float>(rows.begin() + 20 * n, rows.begin() + 20 * (n + 1)), expected);
}

TEST(AugmentParameters, RefuseASpecThatMakesNoSense) {
  const auto draw = [](const AugmentSpec& spec) { return draw_parameters(spec, 0, 0, 1, 8, 8); };
  for (const AugmentSpec& spec : {AugmentSpec{.p_flip = 1.5}, AugmentSpec{.p_affine = -0.1}, AugmentSpec{.p_lighting = std::nan("")},
                                  AugmentSpec{.max_warp = 0.5}, AugmentSpec{.max_lighting = 1}, AugmentSpec{.min_zoom = 0},
                                  AugmentSpec{.min_zoom = 1.2}, AugmentSpec{.min_scale = 0}, AugmentSpec{.min_scale = 1.01}}) {
    EXPECT_THROW(draw(spec), Error);
  }
  EXPECT_THROW(draw_parameters({}, 0, 0, 1, 0, 8), ShapeError);
  EXPECT_THROW(draw_parameters({}, 0, 0, std::vector<int64_t>{-1}, 8, 8), Error);
  EXPECT_THROW(draw_parameters({}, 0, 0, std::vector<int64_t>{kBatchItem}, 8, 8), Error);
}

}  // namespace
}  // namespace mirilla::data
