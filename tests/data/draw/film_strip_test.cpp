// SPDX-License-Identifier: MIT
#include "data/draw/film_strip.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

Picture filled(int side, Rgb8 color) {
  Picture picture(side, side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) std::copy_n(color.begin(), 3, picture.at(x, y));
  return picture;
}

int64_t pixels_of(const Picture& picture, Rgb8 color) {
  int64_t count = 0;
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) count += std::equal(color.begin(), color.end(), picture.at(x, y));
  return count;
}

TEST(FilmStrip, ShowsEveryFrameWholeAndInOrder) {
  const Rgb8 red{200, 0, 0}, green{0, 200, 0}, blue{0, 0, 200};
  const std::vector<Film> films{{"first", {{filled(16, red), "a"}, {filled(16, green), "b"}}}, {"second", {{filled(16, blue), "c"}}}};
  const Picture strip = film_strip(films, 64);
  for (const Rgb8 color : {red, green, blue}) EXPECT_EQ(pixels_of(strip, color), 64 * 64);
  const auto first_of = [&](Rgb8 color) {
    for (int i = 0; i < strip.width * strip.height; ++i)
      if (std::equal(color.begin(), color.end(), strip.pixels.data() + size_t{3} * static_cast<size_t>(i))) return i;
    return -1;
  };
  EXPECT_LT(first_of(red) % strip.width, first_of(green) % strip.width);
  EXPECT_EQ(first_of(red) / strip.width, first_of(green) / strip.width);
  EXPECT_GT(first_of(blue) / strip.width, first_of(red) / strip.width + 64);
}

TEST(FilmStrip, WritesANameUnderEachFrame) {
  const auto dark = [](const std::string& name) {
    return pixels_of(film_strip(std::vector<Film>{{"", {{filled(8, {90, 90, 90}), name}}}}, 64), {237, 237, 240});
  };
  EXPECT_GT(dark("layer4"), dark(""));
}

TEST(FilmStrip, RefusesNothingToShow) {
  EXPECT_THROW(film_strip({}), UsageError);
  EXPECT_THROW(film_strip(std::vector<Film>{{"empty", {}}}), UsageError);
  EXPECT_THROW(film_strip(std::vector<Film>{{"", {{filled(8, {1, 2, 3}), ""}}}}, 8), UsageError);
}

}  // namespace
}  // namespace mirilla::data
