// SPDX-License-Identifier: MIT
#include "data/draw/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "data/draw/canvas.h"
#include "data/draw/plot_axes.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

constexpr Color kWhite = {1, 1, 1};
constexpr Color kInk = {0.13f, 0.13f, 0.15f};
constexpr Color kGrid = {0.90f, 0.90f, 0.92f};
constexpr Color kFrame = {0.55f, 0.55f, 0.58f};
// Also distinct with most kinds of colour blindness: lightness differs as well as hue.
constexpr std::array<Color, 6> kSeriesColors = {{{0.12f, 0.40f, 0.72f},
                                                 {0.90f, 0.45f, 0.08f},
                                                 {0.20f, 0.60f, 0.40f},
                                                 {0.65f, 0.20f, 0.55f},
                                                 {0.45f, 0.45f, 0.48f},
                                                 {0.80f, 0.70f, 0.10f}}};
constexpr float kLineWidth = 2.2f;
constexpr float kDotRadius = 4.0f;
constexpr int kTick = 5;

Color color_of_series(size_t i) { return kSeriesColors[i % kSeriesColors.size()]; }

// The layout of the picture.
struct Layout {
  Bounds inner;  // the area of the plot itself
  int text;      // scale of labels

  float x(double position) const { return static_cast<float>(inner.left + position * inner.width()); }
  float y(double position) const { return static_cast<float>(inner.bottom - position * inner.height()); }
};

Layout lay_out(const PlotOptions& options, const Axes& axes) {
  const int text = options.width >= 480 ? 2 : 1;
  const int line = text_height(text), gap = 5 * text;
  int labels = 0;
  for (const double tick : axes.y.ticks) labels = std::max(labels, text_width(tick_label(tick, axes.y), text));
  Layout layout{{}, text};
  layout.inner.left = gap + (options.y_label.empty() ? 0 : line + gap) + labels + kTick + gap;
  layout.inner.right = options.width - 4 * gap;
  layout.inner.top = options.title.empty() ? 2 * gap : line + 3 * gap;
  layout.inner.bottom = options.height - (gap + line + kTick + gap + (options.x_label.empty() ? 0 : line + gap));
  return layout;
}

// A line of whole pixels: thin lines between pixels would blur.
void hairline(Canvas& canvas, int left, int top, int right, int bottom, Color color) {
  canvas.rectangle({static_cast<float>(left), static_cast<float>(top)}, {static_cast<float>(right), static_cast<float>(bottom)}, color);
}

void draw_axes(Canvas& canvas, const Layout& layout, const Axes& axes, const PlotOptions& options) {
  const Bounds& in = layout.inner;
  const int gap = 5 * layout.text, line = text_height(layout.text);
  int last_end = -1000;
  for (const double tick : axes.x.ticks) {
    const int x = static_cast<int>(layout.x(axes.x.position(tick)));
    hairline(canvas, x, in.top, x + 1, in.bottom, kGrid);
    hairline(canvas, x, in.bottom, x + 1, in.bottom + kTick, kFrame);
    const std::string label = tick_label(tick, axes.x);
    const int left = x - text_width(label, layout.text) / 2;
    if (left < last_end + gap) continue;  // the label would overlap the one before
    canvas.text(label, left, in.bottom + kTick + gap, kInk, layout.text);
    last_end = left + text_width(label, layout.text);
  }
  for (const double tick : axes.y.ticks) {
    const int y = static_cast<int>(layout.y(axes.y.position(tick)));
    hairline(canvas, in.left, y, in.right, y + 1, kGrid);
    hairline(canvas, in.left - kTick, y, in.left, y + 1, kFrame);
    const std::string label = tick_label(tick, axes.y);
    canvas.text(label, in.left - kTick - gap - text_width(label, layout.text), y - line / 2, kInk, layout.text);
  }
  hairline(canvas, in.left, in.top, in.left + 1, in.bottom + 1, kFrame);
  hairline(canvas, in.left, in.bottom, in.right + 1, in.bottom + 1, kFrame);
  canvas.text(options.title, in.left + (in.width() - text_width(options.title, layout.text)) / 2, gap + gap / 2, kInk, layout.text);
  canvas.text(options.x_label, in.left + (in.width() - text_width(options.x_label, layout.text)) / 2, options.height - line - gap, kInk,
              layout.text);
  canvas.text_upwards(options.y_label, gap, in.bottom - (in.height() - text_width(options.y_label, layout.text)) / 2, kInk, layout.text);
}

void draw_series(Canvas& canvas, const Layout& layout, const Axes& axes, const Series& series, Color color) {
  // Extend the clip by half a line's width, so that a line along an axis is not cut.
  const Bounds& in = layout.inner;
  canvas.set_clip({in.left - 5, in.top - 5, in.right + 5, in.bottom + 5});
  for (const auto& run : shown_runs(series, axes)) {
    std::vector<Point> points;
    for (const auto& [x, y] : run) points.push_back({layout.x(x), layout.y(y)});
    if (points.size() > 1) canvas.polyline(points, kLineWidth, color);
    if (!series.dots && points.size() > 1) continue;  // a single point has no line: it gets a dot
    for (const Point& p : points) {
      canvas.ellipse(p, kDotRadius + 1.5f, kDotRadius + 1.5f, kWhite);
      canvas.ellipse(p, kDotRadius, kDotRadius, color);
    }
  }
  canvas.clear_clip();
}

// The corner of the plot where the legend covers the fewest points; of equals the upper right.
Bounds place_legend(const Layout& layout, const Axes& axes, std::span<const Series> series, int width, int height) {
  const Bounds& in = layout.inner;
  const int gap = 5 * layout.text, right = in.right - width - gap, left = in.left + gap, top = in.top + gap,
            bottom = in.bottom - height - gap;
  Bounds best;
  int fewest = std::numeric_limits<int>::max();
  for (const auto& [x, y] : {std::pair{right, top}, {left, top}, {left, bottom}, {right, bottom}}) {
    int covered = 0;
    for (const Series& s : series)
      for (const auto& run : shown_runs(s, axes))
        for (const auto& [px, py] : run) {
          const int at_x = static_cast<int>(layout.x(px)), at_y = static_cast<int>(layout.y(py));
          covered += at_x > x - gap && at_x < x + width + gap && at_y > y - gap && at_y < y + height + gap;
        }
    if (covered >= fewest) continue;
    fewest = covered;
    best = {x, y, x + width, y + height};
  }
  return best;
}

void draw_legend(Canvas& canvas, const Layout& layout, const Axes& axes, std::span<const Series> series) {
  const int line = text_height(layout.text), gap = 5 * layout.text, sample = 14 * layout.text;
  int widest = 0;
  for (const Series& s : series) widest = std::max(widest, text_width(s.name, layout.text));
  if (widest == 0) return;
  const int width = gap + sample + gap + widest + gap, height = gap + static_cast<int>(series.size()) * (line + gap);
  const auto [left, top, right, bottom] = place_legend(layout, axes, series, width, height);
  canvas.rectangle({static_cast<float>(left - 1), static_cast<float>(top - 1)},
                   {static_cast<float>(right + 1), static_cast<float>(bottom + 1)}, kGrid);
  canvas.rectangle({static_cast<float>(left), static_cast<float>(top)}, {static_cast<float>(right), static_cast<float>(bottom)}, kWhite);
  for (size_t i = 0; i < series.size(); ++i) {
    const int y = top + gap + static_cast<int>(i) * (line + gap);
    const float middle = static_cast<float>(y) + static_cast<float>(line) / 2, from = static_cast<float>(left + gap);
    canvas.line({from, middle}, {from + static_cast<float>(sample), middle}, kLineWidth, color_of_series(i));
    if (series[i].dots) canvas.ellipse({from + static_cast<float>(sample) / 2, middle}, kDotRadius, kDotRadius, color_of_series(i));
    canvas.text(series[i].name, left + gap + sample + gap, y, kInk, layout.text);
  }
}

}  // namespace

Picture plot(std::span<const Series> series, const PlotOptions& options) {
  if (options.width < 160 || options.height < 120) {
    throw UsageError(fmt::format("a plot of {} x {} pixels has no room for its labels", options.width, options.height),
                     "the minimum is 160 x 120");
  }
  const Axes axes = choose_axes(series, {.log_x = options.log_x,
                                         .y_from_zero = options.y_from_zero,
                                         .y_max = options.y_max,
                                         .x_ticks = std::max(2, options.width / 95),
                                         .y_ticks = std::max(2, options.height / 70)});
  const Layout layout = lay_out(options, axes);
  Canvas canvas(options.width, options.height, kWhite);
  draw_axes(canvas, layout, axes, options);
  for (size_t i = 0; i < series.size(); ++i) draw_series(canvas, layout, axes, series[i], color_of_series(i));
  draw_legend(canvas, layout, axes, series);
  return canvas.to_picture();
}

}  // namespace mirilla::data
