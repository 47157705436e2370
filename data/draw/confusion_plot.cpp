// SPDX-License-Identifier: MIT
#include "data/draw/confusion_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/draw/canvas.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

constexpr Color kInk = {0.13f, 0.13f, 0.15f};
constexpr Color kWhite = {1, 1, 1};
constexpr int kMargin = 16, kGap = 10, kTick = 4;
constexpr int kMostNamePx = 240;
constexpr int kUsualSide = 72;      // side of a square when there are few
constexpr int kWantedMatrix = 720;  // side of the whole matrix while squares can shrink
constexpr int kMostMatrix = 3000;   // above this texts are left out, so that a thousand classes still fit a picture
constexpr int kFewClasses = 16;     // up to this many, letters have twice the font's size
constexpr int kTextMargin = 4;      // a square is this many font pixels wider than its text

double largest_of(const std::vector<ConfusionCell>& cells) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const ConfusionCell& cell : cells)
    if (!std::isnan(cell.value)) largest = std::max(largest, cell.value);
  return largest;
}

double smallest_of(const std::vector<ConfusionCell>& cells) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const ConfusionCell& cell : cells)
    if (!std::isnan(cell.value)) smallest = std::min(smallest, cell.value);
  return smallest;
}

Color as_color(Rgb8 rgb) { return {static_cast<float>(rgb[0]) / 255, static_cast<float>(rgb[1]) / 255, static_cast<float>(rgb[2]) / 255}; }

// The layout, in pixels.
struct Layout {
  int classes;
  int scale;      // of names and numbers
  int side;       // of a square
  bool texts;     // whether squares show text
  int stride;     // every stride-th class has its name beside it
  int name_px;    // width of the longest name
  int left, top;  // the upper left corner of the matrix

  int matrix() const { return classes * side; }
  int width() const { return left + matrix() + kMargin; }
  int height() const { return top + matrix() + kTick + kGap + name_px + kGap + text_height(2) + kMargin; }
};

Layout layout_of(const ConfusionPlot& plot, const std::vector<ConfusionCell>& cells) {
  Layout at{.classes = static_cast<int>(plot.names.size())};
  at.scale = at.classes <= kFewClasses ? 2 : 1;
  int widest = 0;
  for (const ConfusionCell& cell : cells) widest = std::max(widest, text_width(cell.text, at.scale));
  at.side = std::max(
      {std::min(kUsualSide, kWantedMatrix / at.classes), widest + kTextMargin * at.scale, text_height(at.scale) + kTextMargin * at.scale});
  at.texts = at.matrix() <= kMostMatrix;
  if (!at.texts) at.side = std::max(2, kMostMatrix / at.classes);
  at.stride = (text_height(at.scale) + 2 + at.side - 1) / at.side;
  for (const std::string& name : plot.names) at.name_px = std::max(at.name_px, std::min(text_width(name, at.scale), kMostNamePx));
  at.left = kMargin + text_height(2) + kGap + at.name_px + kGap + kTick;
  at.top = kMargin + text_height(2) + 2 * kGap;
  return at;
}

void draw_names(Canvas& canvas, const ConfusionPlot& plot, const Layout& at) {
  const int letters = text_height(at.scale), right = at.left - kTick - kGap / 2, below = at.top + at.matrix() + kTick + kGap / 2;
  for (int i = 0; i < at.classes; i += at.stride) {
    const std::string name = shortened(plot.names[static_cast<size_t>(i)], at.name_px, at.scale);
    const int width = text_width(name, at.scale), middle = i * at.side + at.side / 2;
    canvas.text(name, right - width, at.top + middle - letters / 2, kInk, at.scale);
    canvas.text_upwards(name, at.left + middle - letters / 2, below + width, kInk, at.scale);
    const auto tick = static_cast<float>(middle) + 0.5f, x = static_cast<float>(at.left), y = static_cast<float>(at.top + at.matrix());
    canvas.line({x - kTick, static_cast<float>(at.top) + tick}, {x, static_cast<float>(at.top) + tick}, 1, kInk);
    canvas.line({x + tick, y}, {x + tick, y + kTick}, 1, kInk);
  }
}

void draw_cells(Canvas& canvas, const std::vector<ConfusionCell>& cells, const Layout& at) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const int x = at.left + static_cast<int>(i) % at.classes * at.side, y = at.top + static_cast<int>(i) / at.classes * at.side;
    for (int py = y; py < y + at.side; ++py)
      for (int px = x; px < x + at.side; ++px) canvas.at(px, py) = as_color(cells[i].color);
    if (!at.texts) continue;
    canvas.text(cells[i].text, x + (at.side - text_width(cells[i].text, at.scale)) / 2, y + (at.side - text_height(at.scale)) / 2,
                cells[i].on_dark ? kWhite : kInk, at.scale);
  }
}

void draw_frame(Canvas& canvas, const Layout& at) {
  const auto left = static_cast<float>(at.left) - 0.5f, top = static_cast<float>(at.top) - 0.5f;
  const float right = left + static_cast<float>(at.matrix()) + 1, bottom = top + static_cast<float>(at.matrix()) + 1;
  const Point corners[5] = {{left, top}, {right, top}, {right, bottom}, {left, bottom}, {left, top}};
  canvas.polyline(corners, 1, kInk);
}

}  // namespace

std::vector<ConfusionCell> confusion_cells(const ConfusionPlot& plot) {
  const size_t classes = plot.names.size();
  if (classes == 0 || plot.counts.size() != classes * classes)
    throw ShapeError(
        fmt::format("a confusion matrix of {} classes: expected {} cells, got {}", classes, classes * classes, plot.counts.size()));
  std::vector<ConfusionCell> cells;
  for (size_t row = 0; row < classes; ++row) {
    const std::span<const int64_t> counts = plot.counts.subspan(row * classes, classes);
    int64_t total = 0;
    for (const int64_t count : counts) total += count;
    for (const int64_t count : counts) {
      if (plot.normalize) {
        const double value = total > 0 ? static_cast<double>(count) / static_cast<double>(total) : std::numeric_limits<double>::quiet_NaN();
        cells.push_back({.value = value, .text = fmt::format("{:.2f}", value)});
      } else {
        cells.push_back({.value = static_cast<double>(count), .text = fmt::format("{}", count)});
      }
    }
  }
  const double smallest = smallest_of(cells), largest = largest_of(cells);
  for (ConfusionCell& cell : cells) {
    const double place = largest > smallest ? (cell.value - smallest) / (largest - smallest) : 0;
    cell.color = std::isnan(cell.value) ? Rgb8{255, 255, 255} : color_of(kBlues, place);
    cell.on_dark = cell.value > largest / 2;
  }
  return cells;
}

Picture draw_confusion(const ConfusionPlot& plot) {
  const std::vector<ConfusionCell> cells = confusion_cells(plot);
  const Layout at = layout_of(plot, cells);
  const std::string title = shortened(plot.title, at.width() - 2 * kMargin, 2);
  const std::string_view actual = "Actual", predicted = "Predicted";
  const int middle_x = at.left + at.matrix() / 2, middle_y = at.top + at.matrix() / 2;
  Canvas canvas(at.width(), at.height(), kWhite);
  canvas.text(title, std::clamp(middle_x - text_width(title, 2) / 2, kMargin, at.width() - kMargin - text_width(title, 2)), kMargin, kInk,
              2);
  draw_cells(canvas, cells, at);
  draw_frame(canvas, at);
  draw_names(canvas, plot, at);
  canvas.text_upwards(actual, kMargin, middle_y + text_width(actual, 2) / 2, kInk, 2);
  canvas.text(predicted, std::min(middle_x - text_width(predicted, 2) / 2, at.width() - text_width(predicted, 2)),
              at.height() - kMargin - text_height(2), kInk, 2);
  return canvas.to_picture();
}

}  // namespace mirilla::data
