// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/pictures/picture.h"

/// A small software rasteriser: antialiased polygons, lines and ellipses, and text in a 5 x 7 font. Scenes, plots and figures are drawn
/// with it.
///
/// Coordinates are pixels from the upper left corner; pixel (x, y) covers [x, x+1) x [y, y+1). Only +, -, *, / and sqrt on IEEE floats, so
/// a drawing has the same bytes on every machine. A shape with a coordinate that is not a number, or more than 1e7 pixels away, is not
/// drawn.
namespace mirilla::data {

struct Point {
  float x = 0;
  float y = 0;
};

/// Red, green, blue, each 0 to 1.
struct Color {
  float r = 0;
  float g = 0;
  float b = 0;
};

constexpr Color operator+(Color a, Color b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
constexpr Color operator*(Color a, float s) { return {a.r * s, a.g * s, a.b * s}; }
constexpr Color operator*(Color a, Color b) { return {a.r * b.r, a.g * b.g, a.b * b.b}; }
/// a at t = 0, b at t = 1.
constexpr Color mix(Color a, Color b, float t) { return a * (1 - t) + b * t; }

/// Whole pixels [left, right) x [top, bottom).
struct Bounds {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;

  int width() const { return right - left; }
  int height() const { return bottom - top; }
  bool empty() const { return right <= left || bottom <= top; }
  bool operator==(const Bounds&) const = default;
};

/// The part of each pixel that a shape covers, for the part of the canvas that it touches.
struct Coverage {
  Bounds box;
  std::vector<float> share;  // (box.height(), box.width()), 0 to 1

  float at(int x, int y) const {
    return share[static_cast<size_t>(y - box.top) * static_cast<size_t>(box.width()) + static_cast<size_t>(x - box.left)];
  }
};

/// The coverage of a polygon within `clip`: four sample lines per pixel, exact along each line. Any outline is allowed; overlapping parts
/// count once (nonzero winding).
Coverage cover_polygon(std::span<const Point> outline, const Bounds& clip);

/// The coverage of the points no further than width / 2 from the lines between the points: round ends and joins. It is one shape: where it
/// crosses itself it counts once.
Coverage cover_polyline(std::span<const Point> points, float width, const Bounds& clip);

/// The point of the unit circle after this fraction of a turn, from (1, 0) towards (0, 1): {cos, sin} of 2 pi turns, to 1e-7.
Point direction(float turns);

/// 48 corners along an ellipse.
std::vector<Point> ellipse_outline(Point center, float radius_x, float radius_y);

class Canvas {
 public:
  Canvas(int width, int height, Color background);

  int width() const { return width_; }
  int height() const { return height_; }
  Color& at(int x, int y) { return pixels_[static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)]; }
  Color at(int x, int y) const { return pixels_[static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)]; }

  /// Drawing is limited to the box until the next call.
  void set_clip(const Bounds& clip);
  void clear_clip() { clip_ = {0, 0, width_, height_}; }
  const Bounds& clip() const { return clip_; }

  /// From now on every shape also adds its coverage to recorded(): which pixels were touched, and how much.
  void start_recording() { recorded_.assign(pixels_.size(), 0.0f); }
  std::vector<float> stop_recording() { return std::move(recorded_); }

  /// Draws a shape over the canvas; paint(x, y) gives the colour of a pixel.
  template <class Paint>
  void lay(const Coverage& shape, float alpha, Paint paint);

  void polygon(std::span<const Point> outline, Color color, float alpha = 1);
  void rectangle(Point upper_left, Point lower_right, Color color, float alpha = 1);
  void ellipse(Point center, float radius_x, float radius_y, Color color, float alpha = 1);
  void line(Point from, Point to, float width, Color color, float alpha = 1);
  /// Lines between the points with round joins, as one shape: where it crosses itself it is not darker.
  void polyline(std::span<const Point> points, float width, Color color, float alpha = 1);
  /// Copies a picture to (x, y), without blending.
  void picture(const Picture& source, int x, int y);
  /// UTF-8 text with the upper left corner of its capitals at (x, y), each font pixel `scale` pixels wide and high. Characters that the
  /// font lacks (font.h) show as '?'.
  void text(std::string_view line, int x, int y, Color color, int scale = 1);
  /// The same, rotated by a quarter turn to the left, so that it reads upwards from (x, y), its lower left corner.
  void text_upwards(std::string_view line, int x, int y, Color color, int scale = 1);

  /// Rounded to 8 bits.
  Picture to_picture() const;

 private:
  void lay_color(const Coverage& shape, float alpha, Color color);
  void text_pixel(int x, int y, int scale, Color color);

  int width_;
  int height_;
  Bounds clip_;
  std::vector<Color> pixels_;
  std::vector<float> recorded_;  // empty: not recording
};

/// The size that Canvas::text takes: 6 font pixels per character (5 and a gap; no gap after the last), 7 high; descenders reach 2 lower,
/// accents up to 3 higher.
int text_width(std::string_view line, int scale = 1);
int text_height(int scale = 1);
/// The line if it is at most `width` pixels wide, else its beginning and three dots.
std::string shortened(std::string_view line, int width, int scale = 1);

template <class Paint>
void Canvas::lay(const Coverage& shape, float alpha, Paint paint) {
  for (int y = shape.box.top; y < shape.box.bottom; ++y) {
    for (int x = shape.box.left; x < shape.box.right; ++x) {
      const float a = shape.at(x, y) * alpha;
      if (a <= 0) continue;
      Color& pixel = at(x, y);
      pixel = mix(pixel, paint(x, y), a);
      if (recorded_.empty()) continue;
      float& seen = recorded_[static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)];
      seen = seen + (1 - seen) * a;
    }
  }
}

}  // namespace mirilla::data
