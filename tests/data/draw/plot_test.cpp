// SPDX-License-Identifier: MIT
#include "data/draw/plot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "data/draw/plot_axes.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Pixels of the first series' blue, where nothing else is drawn.
std::vector<std::pair<int, int>> blue_pixels(const Picture& picture) {
  std::vector<std::pair<int, int>> found;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const uint8_t* p = picture.at(x, y);
      if (p[0] < 60 && p[1] > 80 && p[1] < 130 && p[2] > 160) found.emplace_back(x, y);
    }
  }
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t from = 0, to; (to = text.find('\n', from)) != std::string::npos; from = to + 1) lines.push_back(text.substr(from, to - from));
  return lines;
}

// Characters, not bytes.
size_t characters(const std::string& line) {
  return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TEST(AxisTicks, AreRoundNumbersInsideTheRange) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(3, 97, 4), (std::vector<double>{50}));
  EXPECT_EQ(axis_ticks(3, 97, 5), (std::vector<double>{20, 40, 60, 80}));
  EXPECT_EQ(axis_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(axis_ticks(5, 5, 4), (std::vector<double>{5}));
}

TEST(TickLabel, HasTheDecimalsThatItsStepNeeds) {
  const Axis fine{0, 1, false, {0, 0.05, 0.1}};
  EXPECT_EQ(tick_label(0.5, fine), "0.50");
  const Axis tens{0, 100, false, {0, 20, 40}};
  EXPECT_EQ(tick_label(40, tens), "40");
  EXPECT_EQ(tick_label(1e-18, tens), "0");
  const Axis rates{1e-7, 10, true, {1e-7}};
  EXPECT_EQ(tick_label(1e-5, rates), "1e-05");
}

TEST(ChooseAxes, BeginsAtZeroUnlessAsked) {
  const Series loss{"loss", {1, 2, 3}, {2.0, 1.5, 1.2}};
  EXPECT_EQ(choose_axes(std::array{loss}, {.log_x = false, .y_from_zero = true, .x_ticks = 5, .y_ticks = 5}).y.low, 0);
  EXPECT_GT(choose_axes(std::array{loss}, {.log_x = false, .y_from_zero = false, .x_ticks = 5, .y_ticks = 5}).y.low, 0.5);
}

TEST(ChooseAxes, LeavesOutWhatCannotBeShown) {
  const Series wild{"wild", {-1, 0, 1, 10, 100}, {5, 6, 1, kInfinity, 2}};
  const Axes axes = choose_axes(std::array{wild}, {.log_x = true, .y_from_zero = true, .x_ticks = 5, .y_ticks = 5});
  EXPECT_EQ(axes.x.low, 1);
  EXPECT_EQ(axes.x.high, 100);
  EXPECT_EQ(axes.y.high, 2);
  EXPECT_EQ(axes.x.ticks, (std::vector<double>{1, 10, 100}));
  EXPECT_EQ(axes.x.position(10), 0.5);
  const auto runs = shown_runs(wild, axes);
  ASSERT_EQ(runs.size(), 2u) << "the infinite loss parts the line in two";
  EXPECT_EQ(runs[0].size() + runs[1].size(), 2u);
}

TEST(ChooseAxes, HoldsARunawayAtTheGivenTop) {
  const Series loss{"loss", {1, 2, 3}, {2, 1, 1e9}};
  const Axes axes = choose_axes(std::array{loss}, {.log_x = false, .y_from_zero = true, .y_max = 4, .x_ticks = 5, .y_ticks = 4});
  EXPECT_EQ(axes.y.high, 4);
  EXPECT_EQ(shown_runs(loss, axes)[0].back().second, 1.0);
}

TEST(Plot, DrawsAFallingLineFromTheUpperLeftToTheLowerRight) {
  Series line{"", {}, {}};
  for (int i = 0; i <= 10; ++i) {
    line.x.push_back(i);
    line.y.push_back(10 - i);
  }
  const Picture picture = plot(std::array{line});
  EXPECT_EQ(picture.width, 760);
  EXPECT_EQ(picture.height, 460);
  const auto pixels = blue_pixels(picture);
  ASSERT_GT(pixels.size(), 500u);
  // Every pixel of the line lies on the straight line between its first and its last one.
  const auto [left, right] = std::minmax_element(pixels.begin(), pixels.end());
  const double slope = static_cast<double>(right->second - left->second) / (right->first - left->first);
  EXPECT_GT(slope, 0.4);
  for (const auto& [x, y] : pixels) EXPECT_NEAR(y, left->second + slope * (x - left->first), 3) << x;
}

TEST(Plot, PutsItsLegendWhereItCoversLeast) {
  Series rising{.name = "loss"};
  for (int i = 0; i < 100; ++i) rising.x.push_back(i), rising.y.push_back(i);
  const Picture picture = plot(std::vector{rising});
  // The line's last tenth lies where the legend would otherwise be.
  const auto blue = blue_pixels(picture);
  EXPECT_TRUE(std::any_of(blue.begin(), blue.end(),
                          [&](auto p) { return p.first > picture.width * 88 / 100 && p.second < picture.height * 16 / 100; }));
}

TEST(Plot, LeavesAGapWhereAValueIsNotFinite) {
  const Series whole{"", {0, 1, 2, 3, 4, 5}, {1, 1, 1, 1, 1, 1}};
  Series parted = whole;
  parted.y[2] = kNan;
  const auto all = blue_pixels(plot(std::array{whole})).size();
  const auto some = blue_pixels(plot(std::array{parted})).size();
  EXPECT_NEAR(static_cast<double>(some) / static_cast<double>(all), 0.6, 0.02);  // two of five pieces are missing
}

TEST(Plot, TakesASeriesWithoutPoints) {
  const Series none{"valid", {}, {}, true};
  const Series nans{"train", {1, 2}, {kNan, kNan}};
  const std::array both = {none, nans};
  EXPECT_EQ(plot(both).width, 760);
  EXPECT_FALSE(terminal_plot(both).empty());
  EXPECT_EQ(plot({}).height, 460);
}

TEST(Plot, RefusesWhatItCannotDraw) {
  const Series uneven{"loss", {1, 2, 3}, {1, 2}};
  EXPECT_THROW(plot(std::array{uneven}), ShapeError);
  EXPECT_THROW(terminal_plot(std::array{uneven}), ShapeError);
  EXPECT_THROW(plot({}, {.width = 100}), UsageError);
  EXPECT_THROW(terminal_plot({}, {.width = 10}), UsageError);
}

TEST(Plot, IsTheSamePictureEveryTime) {
  const Series loss{"loss", {1, 2, 3}, {2.5, 1, 0.5}, true};
  EXPECT_EQ(plot(std::array{loss}), plot(std::array{loss}));
}

TEST(TerminalPlot, FillsTheGivenWidthAndHeight) {
  const Series loss{"train", {1, 2, 3, 4}, {2.5, 1, 0.5, 0.4}};
  const auto lines = lines_of(terminal_plot(std::array{loss}, {.width = 60, .height = 14}));
  ASSERT_EQ(lines.size(), 14u);
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(characters(lines[i]), 60u) << lines[i];
  for (const std::string& line : lines) EXPECT_LE(characters(line), 60u) << line;
  EXPECT_NE(lines.back().find("train"), std::string::npos);
}

TEST(TerminalPlot, UsesPlainCharactersWhenAsked) {
  const std::array series = {Series{"train", {0, 1, 2, 3}, {3, 2, 1, 0}}, Series{"valid", {3}, {3}, true}};
  const std::string text = terminal_plot(series, {.width = 40, .height = 13, .ascii = true});
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << static_cast<int>(c);
  const auto lines = lines_of(text);
  // The first series falls from corner to corner; the second is one point in the upper right corner.
  EXPECT_EQ(lines[0][lines[0].find('+') + 1], '*');
  EXPECT_EQ(lines[0].back(), 'o');
  EXPECT_EQ(lines[9].back(), '*');
}

TEST(TerminalPlot, PutsALetterOnPointsOverTheBrailleLine) {
  const std::array series = {Series{"train", {0, 1, 2}, {2, 1, 0}}, Series{"valid", {0, 1, 2}, {2, 2, 2}, true}};
  const std::string text = terminal_plot(series, {.width = 40, .height = 12});
  const std::string top = lines_of(text)[0];
  EXPECT_EQ(std::count(top.begin(), top.end(), 'o'), 3);
  EXPECT_NE(text.find("\xE2\xA0"), std::string::npos);
}

}  // namespace
}  // namespace mirilla::data
