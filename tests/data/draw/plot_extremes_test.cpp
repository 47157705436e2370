// SPDX-License-Identifier: MIT
// For any values a plot is made, with few ticks, all inside it.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "data/draw/canvas.h"
#include "data/draw/confusion_plot.h"
#include "data/draw/plot.h"
#include "data/draw/plot_axes.h"

namespace mirilla::data {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity(),
                 kMost = std::numeric_limits<double>::max(), kLeast = std::numeric_limits<double>::denorm_min();

const double kUlpAbove = std::nextafter(1.79, 2.0);

// Values of y, or of x; each list is one series.
const std::vector<std::vector<double>> kLists{{},
                                              {0},
                                              {1.79},
                                              {1e300},
                                              {-3},
                                              {kLeast},
                                              {kNan},
                                              {kInfinity},
                                              {5, 5, 5, 5},
                                              {0, 0, 0},
                                              {1.79, kUlpAbove},
                                              {1.79, 1.79f},
                                              {1e16, 1e16 + 2},
                                              {1e16, 1e16 + 2, 1e16 + 4, kNan},
                                              {-1e16 - 2, -1e16},
                                              {1e15 + 0.25, 1e15 + 0.5},
                                              {1e-300, 1e300},
                                              {kLeast, 2 * kLeast},
                                              {0, kLeast},
                                              {1e-310, 1e-305},
                                              {-kMost, kMost},
                                              {0, kMost},
                                              {kMost, kMost},
                                              {-kMost, -kMost / 2},
                                              {kNan, kNan, kNan},
                                              {-kInfinity, 1, 2, kInfinity},
                                              {-1, -2, -3},
                                              {1, 2, 1e30, 1e300},
                                              {0.1, 0.2, 0.30000000000000004},
                                              {1e-7, 1e-7 * (1 + 1e-15)},
                                              {2.302585092994046, 2.302585092994045, 2.3025850929940463}};

void expect_sound(const Axis& axis) {
  EXPECT_TRUE(std::isfinite(axis.low) && std::isfinite(axis.high) && axis.low < axis.high) << axis.low << " to " << axis.high;
  EXPECT_LE(axis.ticks.size(), 24u) << axis.low << " to " << axis.high;
  EXPECT_GE(axis.ticks.size(), 1u) << axis.low << " to " << axis.high;
  std::set<std::string> labels;
  for (const double tick : axis.ticks) {
    EXPECT_GE(axis.position(tick), -1e-6) << tick << " in " << axis.low << " to " << axis.high;
    EXPECT_LE(axis.position(tick), 1 + 1e-6) << tick << " in " << axis.low << " to " << axis.high;
    EXPECT_TRUE(labels.insert(tick_label(tick, axis)).second) << "two ticks are labelled " << tick_label(tick, axis);
    EXPECT_LE(tick_label(tick, axis).size(), 24u);
  }
}

Series as_y(const std::vector<double>& values) {
  Series series{.name = "loss", .y = values};
  for (size_t i = 0; i < values.size(); ++i) series.x.push_back(static_cast<double>(i + 1));
  return series;
}

Series as_x(const std::vector<double>& values) {
  Series series{.name = "loss", .x = values};
  for (size_t i = 0; i < values.size(); ++i) series.y.push_back(1.5 - static_cast<double>(i));
  return series;
}

std::string text_of(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += fmt::format(" {}", value);
  return text;
}

class AnyValues : public testing::TestWithParam<std::tuple<bool, bool, bool>> {};

TEST_P(AnyValues, GiveAPlotWithFewTicksInside) {
  const auto [over_x, log_x, from_zero] = GetParam();
  for (const std::vector<double>& values : kLists) {
    SCOPED_TRACE(text_of(values));
    const std::array series{over_x ? as_x(values) : as_y(values)};
    const Axes axes = choose_axes(series, {.log_x = log_x, .y_from_zero = from_zero, .y_max = {}, .x_ticks = 8, .y_ticks = 6});
    expect_sound(axes.x);
    expect_sound(axes.y);
    for (const double most : {kNan, kInfinity, -kInfinity, -5.0, 0.0, 1e-320, kMost})
      expect_sound(choose_axes(series, {.log_x = log_x, .y_from_zero = from_zero, .y_max = most, .x_ticks = 8, .y_ticks = 6}).y);
    for (const auto& run : shown_runs(series[0], axes))
      for (const auto& [x, y] : run) EXPECT_TRUE(x >= 0 && x <= 1 && y >= 0 && y <= 1) << x << ' ' << y;
    EXPECT_EQ(plot(series, {.log_x = log_x, .y_from_zero = from_zero, .width = 200, .height = 130}).width, 200);
    for (const bool ascii : {false, true}) {
      const std::string text = terminal_plot(series, {.height = 9, .ascii = ascii, .log_x = log_x, .y_from_zero = from_zero});
      EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 9);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, AnyValues, testing::Combine(testing::Bool(), testing::Bool(), testing::Bool()));

TEST(AxisTicks, AreNeverMoreThanAskedForAndTwo) {
  for (const std::vector<double>& a : kLists)
    for (const std::vector<double>& b : kLists) {
      if (a.empty() || b.empty()) continue;
      for (const int count : {-1, 0, 1, 5, 50})
        EXPECT_LE(axis_ticks(a[0], b[0], count).size(), static_cast<size_t>(std::max(count, 1)) + 2);
    }
}

TEST(AxisTicks, OfALogarithmicAxisThinOutOverManyDecades) {
  const std::array wide{as_x({1e-300, 1e300})}, usual{as_x({1e-7, 10})}, narrow{as_x({2e-3, 6e-3})};
  const AxesOptions options{.log_x = true, .y_from_zero = false, .y_max = {}, .x_ticks = 8, .y_ticks = 6};
  EXPECT_EQ(choose_axes(wide, options).x.ticks.front(), 1e-300);
  EXPECT_EQ(choose_axes(wide, options).x.ticks.size(), 13u) << "every fiftieth";
  EXPECT_EQ(choose_axes(usual, options).x.ticks.size(), 9u);
  EXPECT_GT(choose_axes(narrow, options).x.ticks.size(), 2u) << "no power of ten lies in it";
}

TEST(TickLabel, TellsTicksApartThatDifferLate) {
  const Axis axis{1000000, 1000010, false, {1000000, 1000002, 1000004}};
  EXPECT_EQ(tick_label(1000002, axis), "1000002");
  const Axis usual{0, 2e6, false, {0, 5e5}};
  EXPECT_EQ(tick_label(1.5e6, usual), "1.5e+06");
}

TEST(ChooseAxes, ShowsWhatLiesBelowZero) {
  const std::array series{as_y({-1, 2})};
  EXPECT_LE(choose_axes(series, {.log_x = false, .y_from_zero = true, .y_max = {}, .x_ticks = 5, .y_ticks = 5}).y.low, -1);
}

TEST(Canvas, DrawsNothingOfAShapeThatIsNowhere) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity(),
              most = std::numeric_limits<float>::max();
  for (const float nowhere : {nan, infinity, -infinity, most, -most}) {
    Canvas canvas(20, 20, {1, 1, 1});
    const Picture before = canvas.to_picture();
    canvas.line({5, 5}, {nowhere, 8}, 2, {0, 0, 0});
    canvas.line({5, nowhere}, {3, 8}, 2, {0, 0, 0});
    canvas.ellipse({10, nowhere}, 3, 3, {0, 0, 0});
    canvas.ellipse({10, 10}, nowhere, 3, {0, 0, 0});
    canvas.rectangle({nowhere, 0}, {12, 12}, {0, 0, 0});
    EXPECT_EQ(canvas.to_picture(), before) << nowhere;
  }
}

TEST(Shortened, TakesALongNameInOneGo) {
  const std::string name(4'000'000, 'a');  // a name from a file may have any length
  EXPECT_EQ(shortened(name, 100, 1), std::string(13, 'a') + "...");
  EXPECT_EQ(shortened("abc", 100, 1), "abc");
  EXPECT_EQ(shortened("abcdefgh", 30, 1), "ab...");
  EXPECT_EQ(shortened("abcdefgh", 3, 1), "...");
  EXPECT_EQ(shortened("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 30, 1), "\xC3\xA9\xC3\xA9...");
}

TEST(ConfusionPlot, TakesAnyCounts) {
  const int64_t most = std::numeric_limits<int64_t>::max() / 4;
  for (const std::vector<int64_t>& counts : {std::vector<int64_t>{0, 0, 0, 0}, {most, 0, 0, most}, {5, 5, 5, 5}, {1, 0, 0, 0}})
    for (const bool normalize : {false, true}) {
      const std::vector<std::string> names{"", std::string(100'000, '\xff')};
      const Picture picture = draw_confusion({.counts = counts, .names = names, .normalize = normalize});
      EXPECT_GT(picture.width, 100);
      EXPECT_LT(picture.width, 2000);
    }
}

}  // namespace
}  // namespace mirilla::data
