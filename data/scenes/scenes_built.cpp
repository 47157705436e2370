// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <vector>

#include "data/scenes/scenes_exhibits.h"

// The exhibits that people build: buildings and streets.
namespace mirilla::data::scenes {
namespace {

struct Block {
  float left, right, top;  // in the frame; all blocks start at its lower edge
};

// Side by side from edge to edge, one of them is as high as the frame.
std::vector<Block> draw_blocks(Random& random) {
  const int count = random.integer(2, 4);
  const int highest = random.integer(0, count - 1);
  std::vector<Block> blocks;
  float left = 0;
  for (int i = 0; i < count; ++i) {
    const float even = static_cast<float>(i + 1) / static_cast<float>(count);
    const float right = i + 1 == count ? 1.0f : even + random.range(-0.3f, 0.3f) / static_cast<float>(count);
    blocks.push_back({left, right, i == highest ? 0.0f : random.range(0.06f, 0.26f)});
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

// A point of the street: `side` -1 at the foot of its left wall, 1 at its right one; `depth` 0 at the frame's edge, 1 at the far end;
// `height` 0 on the road, 1 at the top of the walls.
struct Street {
  const Frame& frame;
  float vanish_u, road_v, sky_v, far_width;

  Point at(float side, float depth, float height = 0) const {
    const float half = 0.5f + (far_width - 0.5f) * depth;
    const float center = 0.5f + (vanish_u - 0.5f) * depth;
    const float foot = 1 + (road_v - 1) * depth, top = sky_v * depth;
    return frame.at(center + side * half, foot + (top - foot) * height);
  }
  void strip(Canvas& canvas, float side_a, float side_b, float depth_a, float depth_b, Color color) const {
    const std::array<Point, 4> corners = {at(side_a, depth_a), at(side_b, depth_a), at(side_b, depth_b), at(side_a, depth_b)};
    canvas.polygon(corners, color);
  }
  void wall(Canvas& canvas, float side, float height_a, float height_b, Color color) const {
    const std::array<Point, 4> corners = {at(side, 0, height_a), at(side, 1, height_a), at(side, 1, height_b), at(side, 0, height_b)};
    canvas.polygon(corners, color);
  }
};

// Distance along the street to depth in the picture: equal steps get shorter.
float perspective(float distance) { return distance / (distance + 1); }

void draw_lamp(Canvas& canvas, const Street& street, float side, float depth, Color color, Color lamp) {
  const float scale = 1 - 0.75f * depth;
  const Point foot = street.at(side, depth), head = street.at(side, depth, 0.72f);
  const float reach = -side * street.frame.pixels(0.08f) * scale, radius = std::max(1.2f, street.frame.pixels(0.026f) * scale);
  const std::array<Point, 3> bent = {foot, head, Point{head.x + reach, head.y}};
  canvas.polyline(bent, std::max(1.2f, street.frame.pixels(0.02f) * scale), color);
  canvas.ellipse({head.x + reach, head.y + radius * 0.6f}, radius * 1.3f, radius * 0.8f, lamp);
}

void draw_marks(Canvas& canvas, const Street& street, Random& random) {
  const Color white = street.frame.stage.materials.bright;
  const int lanes = random.integer(2, 3);
  const float phase = random.unit() * 0.3f;
  for (int lane = 1; lane < lanes; ++lane) {
    const float side = -0.75f + 1.5f * static_cast<float>(lane) / static_cast<float>(lanes);
    for (int dash = 0; dash < 12; ++dash) {
      const float from = phase + 0.35f * static_cast<float>(dash);
      street.strip(canvas, side - 0.045f, side + 0.045f, perspective(from), perspective(from + 0.2f), white);
    }
  }
  if (!random.chance(0.4f)) return;
  for (int bar = 0; bar < 7; ++bar) {
    const float side = -0.65f + 0.19f * static_cast<float>(bar);
    street.strip(canvas, side, side + 0.1f, 0.05f, 0.2f, white);
  }
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
  const Street street{frame, random.range(0.38f, 0.62f), random.range(0.36f, 0.48f), random.range(0.22f, 0.32f),
                      random.range(0.06f, 0.12f)};
  const bool lit_left = random.chance(0.5f);
  for (const float side : {-1.0f, 1.0f}) {
    const bool lit = (side < 0) == lit_left;
    street.wall(canvas, side, 0, 1, lit ? mix(m.body, m.bright, 0.15f) : mix(m.body, m.shade, 0.45f));
    const float ledge = random.range(0.4f, 0.6f);
    street.wall(canvas, side, ledge, ledge + 0.07f, m.accent * (lit ? 1.0f : 0.6f));
  }
  // The far end: the wall that closes the view.
  const std::array<Point, 4> end = {street.at(-1, 1), street.at(1, 1), street.at(1, 1, 1), street.at(-1, 1, 1)};
  canvas.polygon(end, mix(m.body, frame.stage.haze, 0.5f));
  street.strip(canvas, -1, 1, 0, 1, mix(m.body, m.bright, 0.6f));  // pavements
  street.strip(canvas, -0.75f, 0.75f, 0, 1, m.shade * 0.8f);       // the roadway
  for (const float side : {-0.75f, 0.71f}) street.strip(canvas, side, side + 0.04f, 0, 1, m.bright);
  draw_marks(canvas, street, random);
  for (int post = random.integer(2, 3); post-- > 0;) {
    const float depth = perspective(0.12f + 0.6f * static_cast<float>(post));
    for (const float side : {-0.88f, 0.88f}) draw_lamp(canvas, street, side, depth, m.shade * 0.5f, m.bright);
  }
}

}  // namespace mirilla::data::scenes
