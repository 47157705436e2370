// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/draw/plot.h"

/// Shared by picture plots and text plots: which part of the plane is shown, and where a value lies in it.
namespace mirilla::data {

struct Axis {
  double low = 0;
  double high = 1;
  bool log = false;
  std::vector<double> ticks;

  /// 0 at the low end, 1 at the high end.
  double position(double value) const;
};

struct Axes {
  Axis x;
  Axis y;
};

struct AxesOptions {
  bool log_x;
  bool y_from_zero;
  std::optional<double> y_max;
  int x_ticks;
  int y_ticks;
};

/// The ranges of all points that can be shown, y widened to whole ticks. Whatever the values, the ranges are finite and their ends
/// distinct (a range narrower than a millionth of its values, or than 1e-300, is widened; values beyond 1e300 count as 1e300), and an
/// axis has no more than about 20 ticks. Throws ShapeError where a series' x and y differ in length.
Axes choose_axes(std::span<const Series> series, const AxesOptions& options);

/// The points of a series in positions, split where one cannot be shown (not finite, or no logarithm). Values beyond the axes are held at
/// their ends.
std::vector<std::vector<std::pair<double, double>>> shown_runs(const Series& series, const Axes& axes);

/// A tick's label with as many digits as the step needs: 0.25, 40, 1e-05.
std::string tick_label(double value, const Axis& axis);

}  // namespace mirilla::data
