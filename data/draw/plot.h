// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/pictures/picture.h"

/// Line plots, as a picture and as text for a terminal.
namespace mirilla::data {

struct Series {
  std::string name;
  std::vector<double> x;
  std::vector<double> y;  // as long as x; a value that is not finite leaves a gap
  bool dots = false;      // a dot at each point, for series of few points
};

struct PlotOptions {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;           // points with x <= 0 are left out
  bool y_from_zero = true;      // the lower end of y is 0, as in fastai's ShowGraph, or the smallest value if one is negative
  std::optional<double> y_max;  // cuts the plot there: one huge loss would flatten the rest
  int width = 760;
  int height = 460;
};

/// Axes, ticks at round numbers, the series in the order given, a legend in the corner where it covers the fewest points. Series without a
/// finite point appear only in the legend. Throws ShapeError where x and y of a series differ in length, UsageError for a picture smaller
/// than 160 x 120.
Picture plot(std::span<const Series> series, const PlotOptions& options = {});

struct TerminalPlotOptions {
  int width = 72;      // characters, labels included
  int height = 16;     // lines, labels included
  bool ascii = false;  // plain characters instead of braille: one point per character instead of 2 x 4
  bool log_x = false;
  bool y_from_zero = true;
  std::optional<double> y_max;
};

/// The same plot as lines of text, each ending in '\n'. The series are told apart by a mark in the legend; in braille they share the dots.
/// Throws as plot does; UsageError below 24 x 6 characters.
std::string terminal_plot(std::span<const Series> series, const TerminalPlotOptions& options = {});

/// Round numbers from low to high to label an axis with, at most count + 2: steps of 1, 2 or 5 times a power of ten. {low} where
/// low and high are too close, in the wrong order or not numbers.
std::vector<double> axis_ticks(double low, double high, int count);

}  // namespace mirilla::data
