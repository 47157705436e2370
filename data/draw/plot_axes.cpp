// SPDX-License-Identifier: MIT
#include "data/draw/plot_axes.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

// Values beyond these are held at the end of the axis, so that no difference overflows and no logarithm of 0 is taken.
constexpr double kLargest = 1e300, kSmallest = 1e-300;
// A range narrower than this fraction of its values has no room for round numbers: in f32, the type of losses, its ends are hardly
// distinct.
constexpr double kNarrowest = 1e-6;
constexpr int kMostDecades = 20;  // with one line each; with more decades, every second, fifth, tenth ... has one

bool can_show(double x, double y, bool log_x) { return std::isfinite(x) && std::isfinite(y) && (!log_x || x > 0); }

struct Range {
  double low = INFINITY;
  double high = -INFINITY;
  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return !(low <= high); }
  bool narrow() const { return high - low < std::max(kNarrowest * std::max(std::abs(low), std::abs(high)), kSmallest); }
};

// Widens a range of one value, of almost one, or of none.
void widen(Range& range) {
  if (range.empty()) range = {0, 1};
  if (!range.narrow()) return;
  const double largest = std::max(std::abs(range.low), std::abs(range.high));
  const double by = largest < kSmallest ? 1 : largest * 0.5;
  range.low -= by;
  range.high += by;
}

// The same on a logarithmic axis.
void widen_by_factors(Range& range) {
  if (range.empty()) range = {1, 10};
  if (range.narrow()) range = {range.low / 10, range.high * 10};
}

int round_up_to_a_round_number(int n) {
  for (int power = 1;; power *= 10)
    for (const int lead : {1, 2, 5})
      if (lead * power >= n) return lead * power;
}

// The powers of ten in a range; round numbers if it contains none.
std::vector<double> decades(double low, double high, int count) {
  const int first = static_cast<int>(std::ceil(std::log10(low) - 1e-9)), last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
  const int stride = round_up_to_a_round_number((last - first) / kMostDecades + 1);
  std::vector<double> ticks;
  for (int exponent = first; exponent <= last; ++exponent)
    if (exponent % stride == 0) ticks.push_back(std::pow(10.0, exponent));
  return ticks.empty() ? axis_ticks(low, high, count) : ticks;
}

}  // namespace

double Axis::position(double value) const {
  return log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low)) : (value - low) / (high - low);
}

std::vector<double> axis_ticks(double low, double high, int count) {
  low = std::clamp(low, -kLargest, kLargest);
  high = std::clamp(high, -kLargest, kLargest);
  const Range range{low, high};
  if (count < 1 || range.empty() || range.narrow()) return {low};
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
  const double first = std::ceil(low / step - 1e-9);
  std::vector<double> ticks;
  for (int i = 0; i <= count + 1; ++i)  // a step is at least 1/count of the range: there cannot be more
    if (const double tick = (first + i) * step; tick <= high + step * 1e-9) ticks.push_back(tick);
  return ticks;
}

Axes choose_axes(std::span<const Series> series, const AxesOptions& options) {
  Range x, y;
  for (const Series& s : series) {
    if (s.x.size() != s.y.size())
      throw ShapeError(fmt::format("plot: the series '{}' has {} x values but {} y values", s.name, s.x.size(), s.y.size()));
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!can_show(s.x[i], s.y[i], options.log_x)) continue;
      x.add(std::clamp(s.x[i], options.log_x ? kSmallest : -kLargest, kLargest));
      y.add(std::clamp(s.y[i], -kLargest, kLargest));
    }
  }
  if (options.y_from_zero && !y.empty()) y.low = std::min(y.low, 0.0);
  if (options.y_max && std::isfinite(*options.y_max)) y.high = std::min(y.high, *options.y_max);
  options.log_x ? widen_by_factors(x) : widen(x);
  widen(y);
  Axes axes{{x.low, x.high, options.log_x, {}}, {y.low, y.high, false, {}}};
  axes.x.ticks = options.log_x ? decades(x.low, x.high, options.x_ticks) : axis_ticks(x.low, x.high, options.x_ticks);
  const std::vector<double> inside = axis_ticks(y.low, y.high, options.y_ticks);
  const double step = inside.size() > 1 ? inside[1] - inside[0] : y.high - y.low;
  axes.y.low = std::floor(y.low / step + 1e-9) * step;
  axes.y.high = std::ceil(y.high / step - 1e-9) * step;
  axes.y.ticks = axis_ticks(axes.y.low, axes.y.high, static_cast<int>(std::lround((axes.y.high - axes.y.low) / step)));
  return axes;
}

std::vector<std::vector<std::pair<double, double>>> shown_runs(const Series& series, const Axes& axes) {
  std::vector<std::vector<std::pair<double, double>>> runs(1);
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (can_show(series.x[i], series.y[i], axes.x.log)) {
      runs.back().emplace_back(std::clamp(axes.x.position(series.x[i]), 0.0, 1.0), std::clamp(axes.y.position(series.y[i]), 0.0, 1.0));
    } else if (!runs.back().empty()) {
      runs.emplace_back();
    }
  }
  if (runs.back().empty()) runs.pop_back();
  return runs;
}

std::string tick_label(double value, const Axis& axis) {
  if (axis.log) return fmt::format("{:g}", value);
  const double step = axis.ticks.size() > 1 ? axis.ticks[1] - axis.ticks[0] : axis.high - axis.low;
  if (std::abs(value) < step * 1e-6) value = 0;  // not -0
  const double largest = std::max(std::abs(axis.low), std::abs(axis.high));
  if (largest >= 1e6 || step < 1e-4) {
    const int digits = static_cast<int>(std::floor(std::log10(largest)) - std::floor(std::log10(step))) + 1;  // digits that a step changes
    return fmt::format("{:.{}g}", value, std::clamp(digits, 3, 17));
  }
  return fmt::format("{:.{}f}", value, std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))));
}

}  // namespace mirilla::data
