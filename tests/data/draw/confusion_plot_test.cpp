// SPDX-License-Identifier: MIT
#include "data/draw/confusion_plot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

const std::vector<std::string> kNames{"forest", "sea"};

int64_t pixels_of(const Picture& picture, Rgb8 color) {
  int64_t count = 0;
  for (size_t i = 0; i < picture.pixels.size(); i += 3)
    count += picture.pixels[i] == color[0] && picture.pixels[i + 1] == color[1] && picture.pixels[i + 2] == color[2];
  return count;
}

TEST(ConfusionCells, AreCountsInBlueWithWhiteTextAboveHalfTheLargest) {
  const std::vector<int64_t> counts{10, 5, 6, 0};
  const std::vector<ConfusionCell> cells = confusion_cells({.counts = counts, .names = kNames});
  EXPECT_EQ(cells[0].text, "10");
  EXPECT_EQ(cells[0].color, kBlues[255]);
  EXPECT_EQ(cells[3].color, kBlues[0]);
  EXPECT_TRUE(cells[0].on_dark);
  EXPECT_FALSE(cells[1].on_dark) << "exactly half is not more";
  EXPECT_TRUE(cells[2].on_dark);
}

TEST(ConfusionCells, NormalizedAreSharesOfTheirRow) {
  const std::vector<int64_t> counts{3, 1, 5, 0};
  const std::vector<ConfusionCell> cells = confusion_cells({.counts = counts, .names = kNames, .normalize = true});
  EXPECT_EQ(cells[0].text, "0.75");
  EXPECT_EQ(cells[2].text, "1.00");
  EXPECT_EQ(cells[2].color, kBlues[255]);
}

TEST(ConfusionCells, LeaveTheRowOfAClassWithoutPicturesWhite) {
  const std::vector<int64_t> counts{0, 0, 1, 3};
  const std::vector<ConfusionCell> cells = confusion_cells({.counts = counts, .names = kNames, .normalize = true});
  EXPECT_EQ(cells[0].text, "nan");
  EXPECT_EQ(cells[0].color, (Rgb8{255, 255, 255}));
  EXPECT_FALSE(cells[0].on_dark);
  EXPECT_TRUE(cells[3].on_dark) << "the largest of the numbers counts";
  const std::vector<int64_t> none(4);
  EXPECT_EQ(confusion_cells({.counts = none, .names = kNames})[3].color, kBlues[0]);
  EXPECT_EQ(confusion_cells({.counts = none, .names = kNames, .normalize = true})[3].text, "nan");
}

TEST(ConfusionCells, RefuseAMatrixOfAnotherSize) {
  const std::vector<int64_t> counts{1, 2, 3};
  EXPECT_THROW(confusion_cells({.counts = counts, .names = kNames}), ShapeError);
  EXPECT_THROW(confusion_cells({}), ShapeError);
}

TEST(DrawConfusion, PutsASquareForEachCellOnWhite) {
  const std::vector<int64_t> counts{10, 0, 0, 5};
  const Picture picture = draw_confusion({.counts = counts, .names = kNames});
  EXPECT_EQ(picture.at(0, 0)[0], 255);
  const int64_t dark = pixels_of(picture, kBlues[255]), light = pixels_of(picture, kBlues[0]);
  EXPECT_GT(dark, 60 * 60);
  EXPECT_GT(light, 2 * 60 * 60) << "two squares without mistakes";
  EXPECT_LT(dark, 72 * 72) << "a number stands in it";
}

TEST(DrawConfusion, StaysReadableWithLongNamesAndBigNumbers) {
  const std::vector<std::string> names{"a name that goes on and on until nobody wants to read it any more", "b"};
  const std::vector<int64_t> counts{123456789, 0, 7, 987654321};
  const Picture picture = draw_confusion({.counts = counts, .names = names});
  EXPECT_LT(picture.width, 800) << "the name ends in dots";
  EXPECT_GT(picture.width, 2 * 9 * 12) << "a square is as wide as its number";
}

TEST(DrawConfusion, KeepsItsSizeInBoundsForManyClasses) {
  for (const size_t classes : {size_t{2}, size_t{40}, size_t{150}, size_t{1000}}) {
    const std::vector<std::string> names(classes, "name");
    std::vector<int64_t> counts(classes * classes);
    for (size_t i = 0; i < classes; ++i) counts[i * classes + i] = 20;
    const Picture picture = draw_confusion({.counts = counts, .names = names});
    EXPECT_LT(picture.width, 3300) << classes;
    EXPECT_GE(pixels_of(picture, kBlues[255]), static_cast<int64_t>(classes) * 4) << classes;
  }
}

}  // namespace
}  // namespace mirilla::data
