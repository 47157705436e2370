// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "data/draw/plot.h"
#include "data/draw/plot_axes.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

constexpr std::string_view kMarks = "*o+x#@";

// A grid of characters, one point each: a later series hides an earlier one.
class CharacterGrid {
 public:
  CharacterGrid(int columns, int lines) : columns_(columns), cells_(static_cast<size_t>(columns) * static_cast<size_t>(lines), ' ') {}
  static constexpr int kPointsX = 1, kPointsY = 1;
  void set(int x, int y, char mark) { cells_[static_cast<size_t>(y) * static_cast<size_t>(columns_) + static_cast<size_t>(x)] = mark; }
  void point(int x, int y, char mark) { set(x, y, mark); }
  std::string line(int y) const {
    return cells_.substr(static_cast<size_t>(y) * static_cast<size_t>(columns_), static_cast<size_t>(columns_));
  }

 private:
  int columns_;
  std::string cells_;
};

// A grid of braille characters: 2 x 4 dots each, in the order of Unicode's bits from U+2800 on.
class BrailleGrid {
 public:
  BrailleGrid(int columns, int lines)
      : columns_(columns), cells_(static_cast<size_t>(columns) * static_cast<size_t>(lines)), points_(cells_.size()) {}
  static constexpr int kPointsX = 2, kPointsY = 4;
  /// A point that gets its own character, over the dots.
  void point(int x, int y, char) {
    points_[static_cast<size_t>(y / 4) * static_cast<size_t>(columns_) + static_cast<size_t>(x / 2)] = true;
  }
  void set(int x, int y, char) {
    constexpr uint8_t kDots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cells_[static_cast<size_t>(y / 4) * static_cast<size_t>(columns_) + static_cast<size_t>(x / 2)] |= kDots[y % 4][x % 2];
  }
  std::string line(int y) const {
    std::string out;
    for (int x = 0; x < columns_; ++x) {
      const size_t cell = static_cast<size_t>(y) * static_cast<size_t>(columns_) + static_cast<size_t>(x);
      const uint8_t dots = cells_[cell];
      if (points_[cell]) {
        out += 'o';
      } else if (dots == 0) {
        out += ' ';
      } else {  // UTF-8 of U+2800 + dots
        out += '\xE2';
        out += static_cast<char>(0xA0 | dots >> 6);
        out += static_cast<char>(0x80 | (dots & 0x3F));
      }
    }
    return out;
  }

 private:
  int columns_;
  std::vector<uint8_t> cells_;
  std::vector<bool> points_;
};

template <class Grid>
void draw_series(Grid& grid, int columns, int lines, const Series& series, const Axes& axes, char mark) {
  const int last_x = columns * Grid::kPointsX - 1, last_y = lines * Grid::kPointsY - 1;
  const auto column = [&](double x) { return static_cast<int>(std::lround(x * last_x)); };
  const auto row = [&](double y) { return static_cast<int>(std::lround((1 - y) * last_y)); };
  for (const auto& run : shown_runs(series, axes)) {
    for (size_t i = 0; i < run.size(); ++i) {
      const auto& [ax, ay] = run[i > 0 ? i - 1 : 0];
      const auto& [bx, by] = run[i];
      const int steps = std::max({1, std::abs(column(bx) - column(ax)), std::abs(row(by) - row(ay))});
      for (int step = 0; step <= steps; ++step) {
        const double t = static_cast<double>(step) / steps;
        grid.set(column(ax + (bx - ax) * t), row(ay + (by - ay) * t), mark);
      }
    }
    if (!series.dots) continue;
    for (const auto& [x, y] : run) grid.point(column(x), row(y), mark);
  }
}

std::string x_labels(const Axes& axes, int columns, int indent) {
  std::string out(static_cast<size_t>(indent), ' ');
  for (const double tick : axes.x.ticks) {
    const std::string label = tick_label(tick, axes.x);
    const int middle = indent + static_cast<int>(std::lround(axes.x.position(tick) * (columns - 1)));
    const int left =
        std::clamp(middle - static_cast<int>(label.size()) / 2, 0, std::max(0, indent + columns - static_cast<int>(label.size())));
    if (!out.empty() && left <= static_cast<int>(out.size()) && out.back() != ' ') continue;
    out.resize(std::max(out.size(), static_cast<size_t>(left)), ' ');
    out = out.substr(0, static_cast<size_t>(left)) + label;
  }
  return out;
}

std::string legend(std::span<const Series> series, bool ascii, int indent) {
  std::string out(static_cast<size_t>(indent), ' ');
  for (size_t i = 0; i < series.size(); ++i) {
    const std::string_view mark = ascii ? kMarks.substr(i % kMarks.size(), 1) : series[i].dots ? "o" : "-";
    out += fmt::format("{}{} {}", i > 0 ? "   " : "", mark, series[i].name);
  }
  return out;
}

template <class Grid>
std::string render(std::span<const Series> series, const Axes& axes, const TerminalPlotOptions& options) {
  int widest = 0;
  for (const double tick : axes.y.ticks) widest = std::max(widest, static_cast<int>(tick_label(tick, axes.y).size()));
  const int indent = widest + 2, columns = std::max(4, options.width - indent), lines = options.height - 3;
  Grid grid(columns, lines);
  for (size_t i = 0; i < series.size(); ++i) draw_series(grid, columns, lines, series[i], axes, kMarks[i % kMarks.size()]);

  std::vector<std::string> labels(static_cast<size_t>(lines));
  for (const double tick : axes.y.ticks) {
    labels[static_cast<size_t>(std::lround((1 - axes.y.position(tick)) * (lines - 1)))] = tick_label(tick, axes.y);
  }
  std::string out;
  for (int y = 0; y < lines; ++y) {
    const std::string& label = labels[static_cast<size_t>(y)];
    const std::string_view edge = options.ascii ? (label.empty() ? "|" : "+") : (label.empty() ? "│" : "┤");
    out += fmt::format("{:>{}} {}{}\n", label, widest, edge, grid.line(y));
  }
  std::string base;
  for (int x = 0; x < columns; ++x) base += options.ascii ? "-" : "─";
  out += fmt::format("{:>{}} {}{}\n", "", widest, options.ascii ? "+" : "└", base);
  out += x_labels(axes, columns, indent) + "\n";
  out += legend(series, options.ascii, indent) + "\n";
  return out;
}

}  // namespace

std::string terminal_plot(std::span<const Series> series, const TerminalPlotOptions& options) {
  if (options.width < 24 || options.height < 6) {
    throw UsageError(fmt::format("a plot of {} x {} characters has no room for its labels", options.width, options.height),
                     "the minimum is 24 x 6");
  }
  const Axes axes = choose_axes(series, {.log_x = options.log_x,
                                         .y_from_zero = options.y_from_zero,
                                         .y_max = options.y_max,
                                         .x_ticks = std::max(2, options.width / 12),
                                         .y_ticks = std::max(2, options.height / 4)});
  return options.ascii ? render<CharacterGrid>(series, axes, options) : render<BrailleGrid>(series, axes, options);
}

}  // namespace mirilla::data
