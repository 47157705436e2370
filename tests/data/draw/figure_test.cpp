// SPDX-License-Identifier: MIT
#include "data/draw/figure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

Picture counting_picture(int width, int height) {
  Picture picture(width, height);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7 % 256);
  return picture;
}

struct Expected {
  int x, y;
  Rgb8 rgb;
};

// matplotlib blends in 8 bits and rounds twice, so one step either way is its rounding.
void expect_near(const Picture& picture, const std::vector<Expected>& expected) {
  for (const Expected& e : expected) {
    for (int c = 0; c < 3; ++c) EXPECT_NEAR(picture.at(e.x, e.y)[c], e.rgb[static_cast<size_t>(c)], 1) << e.x << ' ' << e.y << ' ' << c;
  }
}

constexpr float kMap[6] = {-1.0f, 0.5f, 2.0f, 3.0f, 0.0f, 1.0f};

TEST(Overlay, GivesMatplotlibsPixels) {
  // imshow(picture, extent=(0, 12, 8, 0)); imshow(map, alpha=.6, extent=(0, 12, 8, 0), interpolation='bilinear', cmap='magma'), 1 pixel per
  // unit, matplotlib 3.11
  expect_near(overlay(counting_picture(12, 8), kMap, 2, 3), {{0, 0, {0, 2, 7}},
                                                             {5, 1, {106, 61, 123}},
                                                             {11, 0, {242, 176, 156}},
                                                             {3, 4, {127, 54, 96}},
                                                             {7, 5, {126, 75, 133}},
                                                             {0, 7, {241, 245, 211}},
                                                             {11, 7, {190, 116, 159}},
                                                             {6, 3, {121, 70, 128}}});
}

TEST(Overlay, TakesThePapersWayFromZeroUp) {
  // The same with numpy.maximum(map, 0) and vmin=0.
  expect_near(overlay(counting_picture(12, 8), kMap, 2, 3, {.style = CamStyle::paper}), {{0, 0, {0, 2, 7}},
                                                                                         {5, 1, {61, 53, 95}},
                                                                                         {11, 0, {236, 152, 154}},
                                                                                         {3, 4, {106, 47, 101}},
                                                                                         {7, 5, {73, 63, 108}},
                                                                                         {0, 7, {241, 245, 211}},
                                                                                         {11, 7, {149, 102, 164}},
                                                                                         {6, 3, {69, 58, 104}}});
}

TEST(Overlay, ShowsTheLowestColourForAFlatMap) {
  const Picture picture = counting_picture(5, 4);
  const float flat[4] = {0.3f, 0.3f, 0.3f, 0.3f};
  const float negative[4] = {-1, -2, -3, -4};
  const float low[1] = {0};
  const Picture expected = overlay(picture, low, 1, 1);
  EXPECT_EQ(overlay(picture, flat, 2, 2), expected);
  EXPECT_EQ(overlay(picture, negative, 2, 2, {.style = CamStyle::paper}), expected);
  EXPECT_EQ(expected.at(2, 1)[0], static_cast<uint8_t>(0.6 * kMagma[0][0] + 0.4 * picture.at(2, 1)[0] + 0.5));
}

TEST(Overlay, IsThePictureAtAlphaZeroAndTheColoursAtOne) {
  const Picture picture = counting_picture(6, 6);
  const float map[1] = {1};
  EXPECT_EQ(overlay(picture, map, 1, 1, {.alpha = 0}), picture);
  const Picture colors = overlay(picture, map, 1, 1, {.alpha = 1, .style = CamStyle::paper, .colors = &kViridis});
  for (int c = 0; c < 3; ++c) EXPECT_EQ(colors.at(3, 3)[c], kViridis[255][static_cast<size_t>(c)]);
}

TEST(Overlay, RefusesMapsThatItCannotDraw) {
  const Picture picture = counting_picture(6, 6);
  const float broken[2] = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(overlay(picture, broken, 1, 2), DataError);
  EXPECT_THROW(overlay(picture, kMap, 2, 2), ShapeError);
  EXPECT_THROW(overlay(Picture(), kMap, 2, 3), UsageError);
}

TEST(StretchMap, KeepsAPeakWhereItsCellIs) {
  const float map[16] = {0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<float> big = stretch_map(map, 4, 4, 100, 100);
  const auto peak = static_cast<int>(std::max_element(big.begin(), big.end()) - big.begin());
  EXPECT_NEAR(peak % 100, 62, 1);  // the centre of cell (1, 2)
  EXPECT_NEAR(peak / 100, 37, 1);
  EXPECT_EQ(stretch_map(map, 4, 4, 4, 4), std::vector<float>(map, map + 16));
}

TEST(Stretch, CopiesAtTheSameSizeAndInterpolatesBetween) {
  const Picture picture = counting_picture(9, 5);
  EXPECT_EQ(stretch(picture, 9, 5), picture);
  Picture two(2, 1);
  two.pixels = {0, 0, 0, 200, 100, 50};
  const Picture four = stretch(two, 4, 1);
  EXPECT_EQ(four.at(0, 0)[0], 0);
  EXPECT_EQ(four.at(1, 0)[0], 50);
  EXPECT_EQ(four.at(2, 0)[0], 150);
  EXPECT_EQ(four.at(3, 0)[1], 100);
}

TEST(Figure, PutsPanelsSideBySideUnderTheirTitles) {
  Picture dark(20, 20), light(40, 20);
  std::fill(light.pixels.begin(), light.pixels.end(), uint8_t{200});
  const Panel panels[3] = {
      {dark, "dark"}, {light, "a title that is far too long for a panel of this width, at any size of the letters"}, {dark, ""}};
  const Picture one = figure(std::span(panels, 2), {.panel_px = 100});
  const Picture wrapped = figure(panels, {.panel_px = 100, .columns = 2, .title = "three"});
  EXPECT_EQ(one.width, wrapped.width);
  EXPECT_GT(wrapped.height, one.height + 100);
  EXPECT_EQ(one.at(0, 0)[0], 255);
  // The first panel is 100 x 100 black, the second 100 x 50 grey.
  int64_t black = 0, grey = 0;
  for (size_t i = 0; i < one.pixels.size(); i += 3) {
    black += one.pixels[i] == 0;
    grey += one.pixels[i] == 200;
  }
  EXPECT_EQ(black, 100 * 100);
  EXPECT_EQ(grey, 100 * 50);
}

TEST(Beside, IsBothPicturesWithALineBetween) {
  const Picture left = counting_picture(6, 4), right = counting_picture(5, 8);
  const Picture both = beside(left, right);
  EXPECT_EQ(both.width, 6 + 4 + 5);
  EXPECT_EQ(both.height, 8);
  EXPECT_EQ(both.at(5, 3)[1], left.at(5, 3)[1]);
  EXPECT_EQ(both.at(8, 3)[1], 255);
  EXPECT_EQ(both.at(3, 6)[1], 255);
  EXPECT_EQ(both.at(10, 7)[1], right.at(0, 7)[1]);
  EXPECT_THROW(beside(left, Picture()), UsageError);
}

TEST(Figure, RefusesToBeMadeOfNothing) {
  EXPECT_THROW(figure({}), UsageError);
  const Panel empty[1] = {{Picture(), "empty"}};
  EXPECT_THROW(figure(empty), UsageError);
}

}  // namespace
}  // namespace mirilla::data
