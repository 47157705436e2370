// SPDX-License-Identifier: MIT
#include "data/draw/figure.h"

#include <algorithm>
#include <cmath>

#include "data/draw/canvas.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

// The two neighbours of a position among n cells and the position between the first and the second.
struct Between {
  int low, high;
  double t;
};

// Output pixel i of m over n cells: between cell centres, edges held.
Between between(int i, int m, int n) {
  const double at = std::clamp((i + 0.5) * n / m - 0.5, 0.0, static_cast<double>(n - 1));
  const int low = static_cast<int>(at);
  return {low, std::min(low + 1, n - 1), at - low};
}

void check_map(std::span<const float> map, int height, int width) {
  if (height < 1 || width < 1 || map.size() != static_cast<size_t>(height) * static_cast<size_t>(width)) {
    throw ShapeError(fmt::format("expected a map of {1} x {2} values, got {0}", map.size(), height, width));
  }
  for (const float v : map) {
    if (!std::isfinite(v)) throw DataError("the map contains a value that is not finite", "did training diverge? look at history.csv");
  }
}

void check_picture(const Picture& picture) {
  if (picture.width < 1 || picture.height < 1) throw UsageError("a figure needs a picture, but this one has no pixels");
}

uint8_t to_byte(double v) { return static_cast<uint8_t>(std::clamp(v, 0.0, 255.0) + 0.5); }

constexpr Color kInk = {0.13f, 0.13f, 0.15f};
constexpr Color kWhite = {1, 1, 1};
constexpr int kMargin = 16;
constexpr int kGap = 16;
constexpr int kTitleGap = 8;

// Twice the font's size where that fits, else once; a title that is still too long ends in dots.
struct Caption {
  std::string text;
  int scale;
};

Caption fit(const std::string& title, int width) {
  for (const int scale : {2, 1}) {
    if (text_width(title, scale) <= width) return {title, scale};
  }
  return {shortened(title, width, 1), 1};
}

Picture scaled(const Picture& picture, int longer_side) {
  check_picture(picture);
  const int longest = std::max(picture.width, picture.height);
  const auto side = [&](int length) {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(length) * longer_side / longest)));
  };
  return stretch(picture, side(picture.width), side(picture.height));
}

}  // namespace

std::vector<float> stretch_map(std::span<const float> map, int height, int width, int picture_height, int picture_width) {
  check_map(map, height, width);
  std::vector<float> out(static_cast<size_t>(picture_height) * static_cast<size_t>(picture_width));
  const auto at = [&](int row, int column) {
    return static_cast<double>(map[static_cast<size_t>(row) * static_cast<size_t>(width) + static_cast<size_t>(column)]);
  };
  for (int y = 0; y < picture_height; ++y) {
    const Between v = between(y, picture_height, height);
    for (int x = 0; x < picture_width; ++x) {
      const Between u = between(x, picture_width, width);
      const double top = at(v.low, u.low) * (1 - u.t) + at(v.low, u.high) * u.t;
      const double low = at(v.high, u.low) * (1 - u.t) + at(v.high, u.high) * u.t;
      out[static_cast<size_t>(y) * static_cast<size_t>(picture_width) + static_cast<size_t>(x)] =
          static_cast<float>(top * (1 - v.t) + low * v.t);
    }
  }
  return out;
}

Picture overlay(const Picture& picture, std::span<const float> map, int height, int width, const OverlayOptions& options) {
  check_picture(picture);
  check_map(map, height, width);
  std::vector<float> values(map.begin(), map.end());
  if (options.style == CamStyle::paper) {
    for (float& v : values) v = std::max(v, 0.0f);
  }
  const double low = options.style == CamStyle::paper ? 0.0 : *std::min_element(values.begin(), values.end());
  const double high = *std::max_element(values.begin(), values.end());
  const std::vector<float> stretched = stretch_map(values, height, width, picture.height, picture.width);
  Picture out = picture;
  for (size_t i = 0; i < stretched.size(); ++i) {
    const double value = high > low ? (stretched[i] - low) / (high - low) : 0.0;
    const Rgb8 color = color_of(*options.colors, value);
    for (size_t c = 0; c < 3; ++c)
      out.pixels[i * 3 + c] = to_byte(options.alpha * color[c] + (1 - options.alpha) * picture.pixels[i * 3 + c]);
  }
  return out;
}

Picture stretch(const Picture& picture, int width, int height) {
  check_picture(picture);
  if (width < 1 || height < 1) throw UsageError(fmt::format("a picture cannot be stretched to {} x {}", width, height));
  Picture out(width, height);
  for (int y = 0; y < height; ++y) {
    const Between v = between(y, height, picture.height);
    for (int x = 0; x < width; ++x) {
      const Between u = between(x, width, picture.width);
      const uint8_t* corners[4] = {picture.at(u.low, v.low), picture.at(u.high, v.low), picture.at(u.low, v.high),
                                   picture.at(u.high, v.high)};
      for (int c = 0; c < 3; ++c) {
        const double top = corners[0][c] * (1 - u.t) + corners[1][c] * u.t, low = corners[2][c] * (1 - u.t) + corners[3][c] * u.t;
        out.at(x, y)[c] = to_byte(top * (1 - v.t) + low * v.t);
      }
    }
  }
  return out;
}

Picture beside(const Picture& left, const Picture& right) {
  check_picture(left);
  check_picture(right);
  constexpr int kBetween = 4;
  Canvas canvas(left.width + kBetween + right.width, std::max(left.height, right.height), kWhite);
  canvas.picture(left, 0, 0);
  canvas.picture(right, left.width + kBetween, 0);
  return canvas.to_picture();
}

Picture figure(std::span<const Panel> panels, const FigureOptions& options) {
  if (panels.empty()) throw UsageError("a figure needs at least one panel, got none");
  if (options.panel_px < 32 || options.columns < 1) throw UsageError("a figure needs panels of 32 pixels or more, and one or more per row");
  std::vector<Picture> shown;
  for (const Panel& panel : panels) shown.push_back(scaled(panel.picture, options.panel_px));
  const int columns = std::min(options.columns, static_cast<int>(panels.size()));
  const int rows = (static_cast<int>(panels.size()) + columns - 1) / columns;
  int tallest = 0;
  for (const Picture& p : shown) tallest = std::max(tallest, p.height);

  const int caption = text_height(2) + kTitleGap;
  const int head = options.title.empty() ? 0 : text_height(2) + 2 * kTitleGap;
  const int width = 2 * kMargin + columns * options.panel_px + (columns - 1) * kGap;
  const int height = 2 * kMargin + head + rows * (caption + tallest) + (rows - 1) * kGap;
  Canvas canvas(width, height, kWhite);
  const Caption title = fit(options.title, width - 2 * kMargin);
  if (head > 0) canvas.text(title.text, (width - text_width(title.text, title.scale)) / 2, kMargin, kInk, title.scale);
  for (size_t i = 0; i < shown.size(); ++i) {
    const int left = kMargin + static_cast<int>(i) % columns * (options.panel_px + kGap);
    const int top = kMargin + head + static_cast<int>(i) / columns * (caption + tallest + kGap);
    const Caption line = fit(panels[i].title, options.panel_px);
    canvas.text(line.text, left + (options.panel_px - text_width(line.text, line.scale)) / 2,
                top + text_height(2) - text_height(line.scale), kInk, line.scale);
    canvas.picture(shown[i], left + (options.panel_px - shown[i].width) / 2, top + caption);
  }
  return canvas.to_picture();
}

}  // namespace mirilla::data
