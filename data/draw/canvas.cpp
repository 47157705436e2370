// SPDX-License-Identifier: MIT
#include "data/draw/canvas.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "data/draw/font.h"

namespace mirilla::data {
namespace {

constexpr int kLines = 4;  // sample lines per pixel row

// Beyond this nothing is drawn: products of such numbers overflow. NaN counts as beyond.
constexpr float kFarthest = 1e15f;

struct Crossing {
  float x;
  int winding;
};

Bounds bounds(std::span<const Point> points, float margin, const Bounds& clip) {
  if (points.empty()) return {};
  for (const Point& p : points)
    if (!(std::abs(p.x) <= kFarthest && std::abs(p.y) <= kFarthest)) return {};
  float left = points[0].x, right = left, top = points[0].y, bottom = top;
  for (const Point& p : points) {
    left = std::min(left, p.x);
    right = std::max(right, p.x);
    top = std::min(top, p.y);
    bottom = std::max(bottom, p.y);
  }
  // Clamp as floats first: a coordinate far outside would not fit an int.
  const auto low = [](float v, int least) { return static_cast<int>(std::floor(std::max(v, static_cast<float>(least)))); };
  const auto high = [](float v, int most) { return static_cast<int>(std::ceil(std::min(v, static_cast<float>(most)))); };
  Bounds box{low(left - margin, clip.left), low(top - margin, clip.top), high(right + margin, clip.right),
             high(bottom + margin, clip.bottom)};
  if (box.empty()) box = {};
  return box;
}

Coverage empty_coverage(const Bounds& box) {
  return {box, std::vector<float>(static_cast<size_t>(box.width()) * static_cast<size_t>(box.height()))};
}

std::vector<Crossing> crossings(std::span<const Point> outline, float y) {
  std::vector<Crossing> found;
  for (size_t i = 0; i < outline.size(); ++i) {
    const Point a = outline[i];
    const Point b = outline[(i + 1) % outline.size()];
    if ((a.y <= y) == (b.y <= y)) continue;
    found.push_back({a.x + (b.x - a.x) * ((y - a.y) / (b.y - a.y)), a.y < b.y ? 1 : -1});
  }
  std::sort(found.begin(), found.end(), [](const Crossing& a, const Crossing& b) { return a.x < b.x; });
  return found;
}

// Adds the span [from, to) of one line of samples to the row's coverage.
void add_span(float* row, const Bounds& box, float from, float to) {
  from = std::max(from, static_cast<float>(box.left)) - static_cast<float>(box.left);
  to = std::min(to, static_cast<float>(box.right)) - static_cast<float>(box.left);
  if (to <= from) return;
  const int first = static_cast<int>(from);
  const int last = std::min(static_cast<int>(to), box.width() - 1);
  constexpr float kWeight = 1.0f / kLines;
  if (first == last) {
    row[first] += (to - from) * kWeight;
    return;
  }
  row[first] += (static_cast<float>(first + 1) - from) * kWeight;
  for (int x = first + 1; x < last; ++x) row[x] += kWeight;
  row[last] += (to - static_cast<float>(last)) * kWeight;
}

float distance_to_segment(Point p, Point a, Point b) {
  const float dx = b.x - a.x, dy = b.y - a.y;
  const float length2 = dx * dx + dy * dy;
  const float t = length2 > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length2, 0.0f, 1.0f) : 0.0f;
  const float ex = p.x - (a.x + dx * t), ey = p.y - (a.y + dy * t);
  return std::sqrt(ex * ex + ey * ey);
}

}  // namespace

Coverage cover_polygon(std::span<const Point> outline, const Bounds& clip) {
  Coverage shape = empty_coverage(bounds(outline, 0, clip));
  for (int y = shape.box.top; y < shape.box.bottom; ++y) {
    float* row = shape.share.data() + static_cast<size_t>(y - shape.box.top) * static_cast<size_t>(shape.box.width());
    for (int line = 0; line < kLines; ++line) {
      int winding = 0;
      float from = 0;
      for (const Crossing& c : crossings(outline, static_cast<float>(y) + (static_cast<float>(line) + 0.5f) / kLines)) {
        if (winding == 0) from = c.x;
        winding += c.winding;
        if (winding == 0) add_span(row, shape.box, from, c.x);
      }
    }
    for (int x = 0; x < shape.box.width(); ++x) row[x] = std::min(row[x], 1.0f);
  }
  return shape;
}

Coverage cover_polyline(std::span<const Point> points, float width, const Bounds& clip) {
  const float half = width / 2;
  Coverage shape = empty_coverage(bounds(points, half + 1, clip));
  for (size_t i = 0; i < points.size(); ++i) {
    const std::array<Point, 2> ends = {points[i], points[std::min(i + 1, points.size() - 1)]};
    if (i + 1 == points.size() && points.size() > 1) break;
    const Bounds near = bounds(ends, half + 1, shape.box);
    for (int y = near.top; y < near.bottom; ++y) {
      float* row = shape.share.data() + static_cast<size_t>(y - shape.box.top) * static_cast<size_t>(shape.box.width());
      for (int x = near.left; x < near.right; ++x) {
        const float d = distance_to_segment({static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f}, ends[0], ends[1]);
        // A line thinner than a pixel is paler, not narrower.
        const float a = std::min({half + 0.5f - d, width, 1.0f});
        float& share = row[x - shape.box.left];
        share = std::max(share, a);
      }
    }
  }
  return shape;
}

Point direction(float turns) {
  const double t = static_cast<double>(turns) - std::floor(static_cast<double>(turns));
  const int quarter = static_cast<int>(t * 4) & 3;
  const double a = (t - 0.25 * quarter) * 6.283185307179586;  // 0 to pi/2
  const double a2 = a * a;
  const double s = a * (1 - a2 / 6 * (1 - a2 / 20 * (1 - a2 / 42 * (1 - a2 / 72 * (1 - a2 / 110 * (1 - a2 / 156))))));
  const double c = 1 - a2 / 2 * (1 - a2 / 12 * (1 - a2 / 30 * (1 - a2 / 56 * (1 - a2 / 90 * (1 - a2 / 132 * (1 - a2 / 182))))));
  const float sine = static_cast<float>(s), cosine = static_cast<float>(c);
  switch (quarter) {
    case 0: return {cosine, sine};
    case 1: return {-sine, cosine};
    case 2: return {-cosine, -sine};
    default: return {sine, -cosine};
  }
}

std::vector<Point> ellipse_outline(Point center, float radius_x, float radius_y) {
  constexpr int kCorners = 48;
  std::vector<Point> outline;
  for (int i = 0; i < kCorners; ++i) {
    const Point d = direction(static_cast<float>(i) / kCorners);
    outline.push_back({center.x + d.x * radius_x, center.y + d.y * radius_y});
  }
  return outline;
}

Canvas::Canvas(int width, int height, Color background)
    : width_(width),
      height_(height),
      clip_{0, 0, width, height},
      pixels_(static_cast<size_t>(width) * static_cast<size_t>(height), background) {}

void Canvas::set_clip(const Bounds& clip) {
  clip_ = {std::max(clip.left, 0), std::max(clip.top, 0), std::min(clip.right, width_), std::min(clip.bottom, height_)};
}

void Canvas::lay_color(const Coverage& shape, float alpha, Color color) {
  lay(shape, alpha, [color](int, int) { return color; });
}

void Canvas::polygon(std::span<const Point> outline, Color color, float alpha) { lay_color(cover_polygon(outline, clip_), alpha, color); }

void Canvas::rectangle(Point upper_left, Point lower_right, Color color, float alpha) {
  const std::array<Point, 4> outline = {upper_left, {lower_right.x, upper_left.y}, lower_right, {upper_left.x, lower_right.y}};
  polygon(outline, color, alpha);
}

void Canvas::ellipse(Point center, float radius_x, float radius_y, Color color, float alpha) {
  polygon(ellipse_outline(center, radius_x, radius_y), color, alpha);
}

void Canvas::line(Point from, Point to, float width, Color color, float alpha) {
  polyline(std::array<Point, 2>{from, to}, width, color, alpha);
}

void Canvas::polyline(std::span<const Point> points, float width, Color color, float alpha) {
  lay_color(cover_polyline(points, width, clip_), alpha, color);
}

void Canvas::picture(const Picture& source, int x, int y) {
  for (int row = std::max(0, clip_.top - y); row < std::min(source.height, clip_.bottom - y); ++row) {
    for (int column = std::max(0, clip_.left - x); column < std::min(source.width, clip_.right - x); ++column) {
      const uint8_t* p = source.at(column, row);
      at(x + column, y + row) = {static_cast<float>(p[0]) / 255, static_cast<float>(p[1]) / 255, static_cast<float>(p[2]) / 255};
    }
  }
}

void Canvas::text_pixel(int x, int y, int scale, Color color) {
  for (int py = std::max(y, clip_.top); py < std::min(y + scale, clip_.bottom); ++py) {
    for (int px = std::max(x, clip_.left); px < std::min(x + scale, clip_.right); ++px) at(px, py) = color;
  }
}

namespace {

// Calls f(column, row) for each font pixel of the line, relative to the upper left corner of its first capital.
template <class F>
void for_each_pixel(std::string_view line, F&& f) {
  int left = 0;
  for (const Glyph& glyph : glyphs_of(line)) {
    for (size_t row = 0; row < glyph.size(); ++row) {
      for (int column = 0; column < kGlyphWidth; ++column)
        if (glyph[row] >> (kGlyphWidth - 1 - column) & 1) f(left + column, static_cast<int>(row) - kGlyphAbove);
    }
    left += kGlyphAdvance;
  }
}

}  // namespace

void Canvas::text(std::string_view line, int x, int y, Color color, int scale) {
  for_each_pixel(line, [&](int column, int row) { text_pixel(x + column * scale, y + row * scale, scale, color); });
}

void Canvas::text_upwards(std::string_view line, int x, int y, Color color, int scale) {
  for_each_pixel(line, [&](int column, int row) { text_pixel(x + row * scale, y - (column + 1) * scale, scale, color); });
}

Picture Canvas::to_picture() const {
  Picture out(width_, height_);
  const auto to_byte = [](float v) { return static_cast<uint8_t>(std::clamp(v, 0.0f, 1.0f) * 255.0f + 0.5f); };
  for (size_t i = 0; i < pixels_.size(); ++i) {
    out.pixels[i * 3] = to_byte(pixels_[i].r);
    out.pixels[i * 3 + 1] = to_byte(pixels_[i].g);
    out.pixels[i * 3 + 2] = to_byte(pixels_[i].b);
  }
  return out;
}

int text_width(std::string_view line, int scale) {
  return line.empty() ? 0 : (characters_in(line) * kGlyphAdvance - (kGlyphAdvance - kGlyphWidth)) * scale;
}

int text_height(int scale) { return kGlyphHeight * scale; }

std::string shortened(std::string_view line, int width, int scale) {
  constexpr std::string_view kDots = "...";
  if (text_width(line, scale) <= width) return std::string(line);
  const int room = (width / scale + kGlyphAdvance - kGlyphWidth) / kGlyphAdvance;  // in characters, the dots among them
  return std::string(first_characters(line, room - static_cast<int>(kDots.size()))) + std::string(kDots);
}

}  // namespace mirilla::data
