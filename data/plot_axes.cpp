// SPDX-License-Identifier: MIT
#include "data/plot_axes.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace mirilla::data {
namespace {

bool can_show(double x, double y, bool log_x) { return std::isfinite(x) && std::isfinite(y) && (!log_x || x > 0); }

struct Range {
  double low = INFINITY;
  double high = -INFINITY;
  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
};

// A range of one value, or of none, gets some width.
void widen(Range& range) {
  if (!(range.low <= range.high)) range = {0, 1};
  if (range.low == range.high) {
    const double by = range.low == 0 ? 1 : std::abs(range.low) * 0.5;
    range.low -= by;
    range.high += by;
  }
}

std::vector<double> decades(double low, double high) {
  std::vector<double> ticks;
  for (double exponent = std::ceil(std::log10(low) - 1e-9); exponent <= std::log10(high) + 1e-9; ++exponent) {
    ticks.push_back(std::pow(10.0, exponent));
  }
  return ticks;
}

}  // namespace

double Axis::position(double value) const {
  return log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low)) : (value - low) / (high - low);
}

std::vector<double> axis_ticks(double low, double high, int count) {
  if (!(high > low) || count < 1) return {low};
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push_back(i * step);
  return ticks;
}

Axes choose_axes(std::span<const Series> series, const AxesOptions& options) {
  Range x, y;
  for (const Series& s : series) {
    if (s.x.size() != s.y.size()) throw ShapeError(fmt::format("plot: the series '{}' has {} x and {} y", s.name, s.x.size(), s.y.size()));
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!can_show(s.x[i], s.y[i], options.log_x)) continue;
      x.add(s.x[i]);
      y.add(s.y[i]);
    }
  }
  if (options.y_from_zero && y.low <= y.high) y.low = 0;
  if (options.y_max) y.high = std::min(y.high, *options.y_max);
  if (!options.log_x) {
    widen(x);
  } else if (!(x.low < x.high)) {
    x = x.low == x.high ? Range{x.low / 10, x.low * 10} : Range{1, 10};
  }
  widen(y);
  Axes axes{{x.low, x.high, options.log_x, {}}, {y.low, y.high, false, {}}};
  axes.x.ticks = options.log_x ? decades(x.low, x.high) : axis_ticks(x.low, x.high, options.x_ticks);
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
      runs.back().emplace_back(axes.x.position(series.x[i]), std::clamp(axes.y.position(series.y[i]), 0.0, 1.0));
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
  if (largest >= 1e6 || step < 1e-4) return fmt::format("{:.3g}", value);
  return fmt::format("{:.{}f}", value, std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))));
}

}  // namespace mirilla::data
