// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <vector>

#include "data/scenes_exhibits.h"

// What people build: buildings and streets.
namespace mirilla::data::scenes {
namespace {

struct Block {
  float left, right, top;  // in the frame; all stand on its lower edge
};

// Side by side from edge to edge, one of them as high as the frame.
std::vector<Block> draw_blocks(Random& random) {
  const int count = random.integer(2, 4);
  const int highest = random.integer(0, count - 1);
  std::vector<Block> blocks;
  float left = 0;
  for (int i = 0; i < count; ++i) {
    const float even = static_cast<float>(i + 1) / static_cast<float>(count);
    const float right = i + 1 == count ? 1.0f : even + random.range(-0.3f, 0.3f) / static_cast<float>(count);
    blocks.push_back({left, right, i == highest ? 0.0f : random.range(0.08f, 0.45f)});
    left = right;
  }
  return blocks;
}

void draw_windows(Canvas& canvas, const Frame& frame, const Block& block, Random& random) {
  const Materials& m = frame.stage.materials;
  const float pitch_x = frame.pixels(random.range(0.05f, 0.08f)), pitch_y = frame.pixels(random.range(0.055f, 0.085f));
  const float width = (block.right - block.left) * frame.width(), height = (1 - block.top) * frame.height();
  const int columns = std::max(2, static_cast<int>(width / pitch_x)), rows = std::max(3, static_cast<int>(height / pitch_y));
  const float share_x = random.range(0.45f, 0.65f), share_y = random.range(0.5f, 0.7f), lit = random.range(0.0f, 1.0f);
  const float cell_x = width / static_cast<float>(columns), cell_y = height / (static_cast<float>(rows) + 0.4f);
  const Point corner = frame.at(block.left, block.top);
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const Point at = {corner.x + (static_cast<float>(column) + (1 - share_x) / 2) * cell_x,
                        corner.y + (static_cast<float>(row) + 0.4f) * cell_y};
      canvas.rectangle(at, {at.x + share_x * cell_x, at.y + share_y * cell_y}, random.chance(lit) ? m.bright : m.shade * 0.8f);
    }
  }
}

// A point of the road: `side` -1 at its left edge, 1 at its right one; `depth` 0 at the lower edge of the frame, 1 at the far end.
struct Road {
  const Frame& frame;
  float vanish_u, top_v, far_width;

  Point at(float side, float depth) const {
    const float half = 0.5f + (far_width - 0.5f) * depth;
    const float center = 0.5f + (vanish_u - 0.5f) * depth;
    return frame.at(center + side * half, 1 + (top_v - 1) * depth);
  }
  void strip(Canvas& canvas, float side_a, float side_b, float depth_a, float depth_b, Color color) const {
    const std::array<Point, 4> corners = {at(side_a, depth_a), at(side_b, depth_a), at(side_b, depth_b), at(side_a, depth_b)};
    canvas.polygon(corners, color);
  }
};

// Distance along the road to height in the picture: equal steps get shorter.
float perspective(float distance) { return distance / (distance + 1); }

void draw_lamp(Canvas& canvas, const Road& road, float side, float depth, float top_v, Color color, Color lamp) {
  const Point foot = road.at(side, depth);
  const float scale = 1 - 0.75f * depth;
  const float width = std::max(1.5f, road.frame.pixels(0.022f) * scale);
  const float reach = -side * road.frame.pixels(0.07f) * scale;
  const float radius = std::max(1.2f, road.frame.pixels(0.024f) * scale);
  // The arm's upper side lies on top_v.
  const Point head = {foot.x, road.frame.at(0, top_v).y + width / 2};
  const std::array<Point, 3> bent = {foot, head, Point{head.x + reach, head.y}};
  canvas.polyline(bent, width, color);
  canvas.ellipse({head.x + reach, head.y + radius * 0.6f}, radius * 1.3f, radius * 0.8f, lamp);
}

}  // namespace

void draw_buildings(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  const Materials& m = frame.stage.materials;
  for (const Block& block : draw_blocks(random)) {
    const Color wall = mix(m.body, m.accent, random.chance(0.5f) ? random.range(0.0f, 0.6f) : 0.0f) * random.range(0.85f, 1.1f);
    const float width = block.right - block.left;
    canvas.rectangle(frame.at(block.left, block.top), frame.at(block.right, 1), wall);
    draw_windows(canvas, frame, block, random);
    canvas.rectangle(frame.at(block.right - width * 0.12f, block.top), frame.at(block.right, 1), m.shade, 0.45f);
    const Point roof = frame.at(block.left, block.top);
    canvas.rectangle(roof, {frame.at(block.right, 0).x, roof.y + frame.pixels(0.018f)}, m.shade);
  }
}

void draw_street(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  const Materials& m = frame.stage.materials;
  const Road road{frame, random.range(0.35f, 0.65f), random.range(0.14f, 0.24f), random.range(0.10f, 0.16f)};
  road.strip(canvas, -1, 1, 0, 1, mix(m.body, m.bright, 0.45f));  // pavements
  road.strip(canvas, -0.72f, 0.72f, 0, 1, m.shade);               // the roadway
  for (const float side : {-0.72f, 0.68f}) road.strip(canvas, side, side + 0.05f, 0, 1, m.bright);
  const int lanes = random.integer(2, 3);
  const float phase = random.unit() * 0.3f;
  for (int lane = 1; lane < lanes; ++lane) {
    const float side = -0.72f + 1.44f * static_cast<float>(lane) / static_cast<float>(lanes);
    for (int dash = 0; dash < 12; ++dash) {
      const float from = phase + 0.35f * static_cast<float>(dash);
      road.strip(canvas, side - 0.045f, side + 0.045f, perspective(from), perspective(from + 0.2f), m.bright);
    }
  }
  if (random.chance(0.4f)) {
    for (int bar = 0; bar < 7; ++bar) {
      const float side = -0.62f + 0.19f * static_cast<float>(bar);
      road.strip(canvas, side, side + 0.1f, 0.05f, 0.2f, m.bright);
    }
  }
  const int posts = random.integer(2, 3);
  for (int post = posts; post-- > 0;) {
    const float depth = perspective(0.18f + 0.75f * static_cast<float>(post));
    for (const float side : {-0.86f, 0.86f}) draw_lamp(canvas, road, side, depth, road.top_v * depth, m.shade * 0.6f, m.bright);
  }
  // The nearest pair reaches the frame's upper edge.
  for (const float side : {-0.9f, 0.9f}) draw_lamp(canvas, road, side, 0.06f, 0, m.shade * 0.6f, m.bright);
}

}  // namespace mirilla::data::scenes
