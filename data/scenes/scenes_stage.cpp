// SPDX-License-Identifier: MIT
#include "data/scenes/scenes_stage.h"

#include <array>
#include <vector>

namespace mirilla::data::scenes {
namespace {

struct Sky {
  Color top, low;
};

constexpr std::array<Sky, 10> kSkies = {{
    {{0.25f, 0.50f, 0.85f}, {0.72f, 0.85f, 0.95f}},  // noon
    {{0.45f, 0.60f, 0.80f}, {0.98f, 0.85f, 0.70f}},  // morning
    {{0.25f, 0.20f, 0.45f}, {0.95f, 0.50f, 0.35f}},  // dusk
    {{0.60f, 0.63f, 0.67f}, {0.82f, 0.83f, 0.84f}},  // overcast
    {{0.25f, 0.30f, 0.36f}, {0.55f, 0.60f, 0.62f}},  // storm
    {{0.05f, 0.07f, 0.18f}, {0.18f, 0.24f, 0.40f}},  // night
    {{0.50f, 0.52f, 0.60f}, {1.00f, 0.78f, 0.42f}},  // golden
    {{0.60f, 0.45f, 0.65f}, {0.98f, 0.75f, 0.72f}},  // pink
    {{0.20f, 0.50f, 0.55f}, {0.70f, 0.88f, 0.80f}},  // teal
    {{0.12f, 0.25f, 0.50f}, {0.50f, 0.70f, 0.85f}},  // late
}};

constexpr std::array<Color, 8> kLands = {{
    {0.35f, 0.50f, 0.22f},  // meadow
    {0.62f, 0.56f, 0.30f},  // dry grass
    {0.80f, 0.70f, 0.50f},  // sand
    {0.88f, 0.91f, 0.94f},  // snow
    {0.36f, 0.28f, 0.22f},  // earth
    {0.50f, 0.50f, 0.50f},  // stone
    {0.48f, 0.38f, 0.50f},  // heath
    {0.68f, 0.42f, 0.20f},  // autumn
}};

constexpr std::array<Color, 14> kMaterials = {{
    {0.55f, 0.55f, 0.56f},
    {0.66f, 0.33f, 0.26f},
    {0.76f, 0.66f, 0.48f},
    {0.26f, 0.44f, 0.24f},
    {0.40f, 0.55f, 0.25f},
    {0.78f, 0.46f, 0.18f},
    {0.32f, 0.42f, 0.58f},
    {0.82f, 0.86f, 0.90f},
    {0.52f, 0.70f, 0.80f},
    {0.45f, 0.34f, 0.26f},
    {0.44f, 0.34f, 0.50f},
    {0.20f, 0.46f, 0.50f},
    {0.72f, 0.60f, 0.24f},
    {0.30f, 0.32f, 0.36f},
}};

constexpr Color kWhite = {1, 1, 1};
constexpr Color kInk = {0.10f, 0.10f, 0.12f};

Color jitter(Color c, Random& random) {
  return {saturate(c.r + random.range(-0.07f, 0.07f)), saturate(c.g + random.range(-0.07f, 0.07f)),
          saturate(c.b + random.range(-0.07f, 0.07f))};
}

// Never on the picture's edge: an exhibit is seen whole, with its surroundings on all four sides.
Bounds draw_box(const RandomKey& key, int size, float horizon) {
  Random random(key, Stream::kBox);
  const int width = random.integer(7, 11);
  const int height = random.integer(7, 9);
  const int left = random.integer(1, kGrid - 1 - width);
  // Exhibits stand on the ground.
  const int lowest = std::max(height + 1, static_cast<int>(horizon * kGrid) + 2);
  const int bottom = random.integer(std::min(lowest, kGrid - 1), kGrid - 1);
  return {grid_pixel(left, size), grid_pixel(bottom - height, size), grid_pixel(left + width, size), grid_pixel(bottom, size)};
}

struct Spot {
  Point foot;
  float size;  // pixels
};

Color any_color(Random& random) { return jitter(random.pick(kMaterials), random); }

void bush(Canvas& canvas, Spot s, Random& random) {
  const Color color = any_color(random);
  for (int i = 0; i < 5; ++i) {
    const float r = s.size * random.range(0.25f, 0.45f);
    const Point c = {s.foot.x + s.size * random.range(-0.6f, 0.6f), s.foot.y - r * random.range(0.5f, 1.3f)};
    canvas.ellipse(c, r, r * 0.85f, color * random.range(0.75f, 1.2f));
  }
}

void rock(Canvas& canvas, Spot s, Random& random) {
  const Color color = any_color(random);
  std::vector<Point> outline;
  const int corners = random.integer(5, 8);
  for (int i = 0; i < corners; ++i) {
    const Point d = direction(0.5f + 0.5f * static_cast<float>(i) / static_cast<float>(corners - 1));
    const float r = s.size * random.range(0.5f, 0.9f);
    outline.push_back({s.foot.x + d.x * r, s.foot.y + d.y * r * 0.7f});
  }
  canvas.polygon(outline, color * 0.9f);
  for (Point& p : outline) p = {p.x - s.size * 0.08f, p.y * 0.85f + s.foot.y * 0.15f};
  canvas.polygon(outline, color * 1.15f, 0.6f);
}

void pole(Canvas& canvas, Spot s, Random& random) {
  const float height = s.size * random.range(1.2f, 2.2f);
  const Color color = any_color(random) * 0.7f;
  canvas.line(s.foot, {s.foot.x, s.foot.y - height}, std::max(1.0f, s.size * 0.1f), color);
  if (random.chance(0.5f)) canvas.ellipse({s.foot.x, s.foot.y - height}, s.size * 0.2f, s.size * 0.2f, any_color(random));
}

void car(Canvas& canvas, Spot s, Random& random) {
  const Color color = any_color(random);
  const float w = s.size * 0.9f, h = s.size * 0.35f;
  const std::array<Point, 4> cabin = {Point{s.foot.x - w * 0.5f, s.foot.y - h}, Point{s.foot.x - w * 0.3f, s.foot.y - h * 1.9f},
                                      Point{s.foot.x + w * 0.35f, s.foot.y - h * 1.9f}, Point{s.foot.x + w * 0.6f, s.foot.y - h}};
  canvas.polygon(cabin, color * 0.6f);
  canvas.rectangle({s.foot.x - w, s.foot.y - h * 1.1f}, {s.foot.x + w, s.foot.y - h * 0.2f}, color);
  for (const float side : {-0.55f, 0.55f}) canvas.ellipse({s.foot.x + w * side, s.foot.y - h * 0.2f}, h * 0.4f, h * 0.4f, kInk);
}

void bird(Canvas& canvas, Spot s, Random& random) {
  const float span = s.size * 0.5f, lift = s.size * random.range(0.1f, 0.35f);
  const std::array<Point, 3> wings = {Point{s.foot.x - span, s.foot.y - lift}, s.foot, Point{s.foot.x + span, s.foot.y - lift}};
  canvas.polyline(wings, std::max(1.0f, s.size * 0.1f), kInk, 0.8f);
}

// Bare shapes and strokes: corners, curves and stripes without meaning, so that no single edge shows a class.
void bare_shape(Canvas& canvas, Spot s, Random& random) {
  const Color color = any_color(random);
  const float w = s.size * random.range(0.4f, 0.9f), h = s.size * random.range(0.4f, 0.9f);
  switch (random.integer(0, 4)) {
    case 0: canvas.rectangle({s.foot.x - w, s.foot.y - h}, {s.foot.x + w, s.foot.y + h}, color); return;
    case 1: canvas.ellipse(s.foot, w, h, color); return;
    case 2: {
      const std::array<Point, 3> corners = {Point{s.foot.x - w, s.foot.y + h}, Point{s.foot.x + w * random.range(-1, 1), s.foot.y - h},
                                            Point{s.foot.x + w, s.foot.y + h * random.range(0.2f, 1)}};
      canvas.polygon(corners, color);
      return;
    }
    case 3: {
      const Point d = direction(random.unit());
      for (int i = -1; i <= 1; ++i) {
        const Point c = {s.foot.x - d.y * s.size * 0.35f * static_cast<float>(i), s.foot.y + d.x * s.size * 0.35f * static_cast<float>(i)};
        canvas.line({c.x - d.x * w, c.y - d.y * w}, {c.x + d.x * w, c.y + d.y * w}, std::max(1.0f, s.size * 0.12f), color);
      }
      return;
    }
    default: {
      std::vector<Point> zigzag;
      for (int i = 0; i < 5; ++i) {
        zigzag.push_back({s.foot.x + w * (static_cast<float>(i) * 0.5f - 1), s.foot.y + h * random.range(-0.6f, 0.6f)});
      }
      canvas.polyline(zigzag, std::max(1.0f, s.size * 0.12f), color);
    }
  }
}

void paint_sun(Canvas& canvas, const Stage& stage, Random& random) {
  const float side = static_cast<float>(stage.size);
  const Point center = {random.range(0, side), random.range(0, stage.horizon)};
  const float radius = side * random.range(0.03f, 0.07f);
  const Color color = mix(stage.sky_low, kWhite, 0.75f);
  for (int ring = 4; ring > 0; --ring)
    canvas.ellipse(center, radius * (1 + 0.5f * static_cast<float>(ring)), radius * (1 + 0.5f * static_cast<float>(ring)), color, 0.10f);
  canvas.ellipse(center, radius, radius, color);
}

void paint_sky(Canvas& canvas, const Stage& stage, const RandomKey& key) {
  Random random(key, Stream::kSky);
  const Noise noise(random);
  const float side = static_cast<float>(stage.size);
  const float cover = random.range(0.4f, 0.8f);  // where clouds begin
  const float stretch = random.range(1.5f, 4.0f);
  const Color cloud = mix(stage.sky_low, kWhite, random.range(0.1f, 0.7f));
  for (int y = 0; y < stage.size; ++y) {
    const float v = saturate(static_cast<float>(y) / stage.horizon);
    const Color clear = mix(stage.sky_top, stage.sky_low, v);
    for (int x = 0; x < stage.size; ++x) canvas.at(x, y) = clear;
  }
  if (random.chance(0.5f)) paint_sun(canvas, stage, random);
  for (int y = 0; y < stage.size && static_cast<float>(y) < stage.horizon + 1; ++y) {
    for (int x = 0; x < stage.size; ++x) {
      const float n = noise.fractal(static_cast<float>(x) / side * 3, static_cast<float>(y) / side * 3 * stretch, 4);
      canvas.at(x, y) = mix(canvas.at(x, y), cloud, saturate((n - cover) * 4) * 0.6f);
    }
  }
}

void paint_hills(Canvas& canvas, const Stage& stage, Random& random) {
  const Noise noise(random);
  const float side = static_cast<float>(stage.size);
  const int layers = random.integer(0, 3);
  for (int layer = 0; layer < layers; ++layer) {
    const float depth = static_cast<float>(layers - layer) / static_cast<float>(layers + 1);
    const Color color = mix(stage.land * random.range(0.6f, 1.0f), stage.haze, depth * 0.8f);
    const float height = side * random.range(0.04f, 0.16f), frequency = random.range(1.0f, 3.0f);
    for (int x = 0; x < stage.size; ++x) {
      const float rise = noise.fractal(static_cast<float>(x) / side * frequency + static_cast<float>(layer) * 7.1f, 0.5f, 2);
      const float top = stage.horizon - height * rise;
      for (int y = std::max(0, static_cast<int>(top)); y < stage.size; ++y) {
        canvas.at(x, y) = mix(canvas.at(x, y), color, saturate(static_cast<float>(y) + 1 - top));
      }
    }
  }
}

void paint_ground(Canvas& canvas, const Stage& stage, const RandomKey& key) {
  Random random(key, Stream::kGround);
  paint_hills(canvas, stage, random);
  const Noise noise(random);
  const float side = static_cast<float>(stage.size);
  const Color dark = stage.land * random.range(0.72f, 0.9f), light = mix(stage.land, kWhite, random.range(0.0f, 0.15f));
  const float frequency = random.range(4, 12);
  for (int y = static_cast<int>(stage.horizon); y < stage.size; ++y) {
    const float depth = (static_cast<float>(y) + 1 - stage.horizon) / (side - stage.horizon);  // 0 far, 1 near
    const float squeeze = 1 / (depth + 0.25f);
    for (int x = 0; x < stage.size; ++x) {
      const float n = noise.fractal((static_cast<float>(x) / side - 0.5f) * frequency * squeeze, squeeze * frequency, 4);
      const Color near = mix(dark, light, saturate(n * 2 - 0.5f));
      canvas.at(x, y) = mix(near, stage.haze, (1 - depth) * (1 - depth) * 0.5f);
    }
  }
}

}  // namespace

Stage draw_stage(const RandomKey& key, int size) {
  Random random(key, Stream::kStage);
  Stage stage;
  stage.size = size;
  const float horizon = random.range(0.3f, 0.65f);
  stage.horizon = horizon * static_cast<float>(size);
  const Sky& sky = random.pick(kSkies);
  stage.sky_top = jitter(sky.top, random);
  stage.sky_low = jitter(sky.low, random);
  stage.land = jitter(random.pick(kLands), random);
  stage.haze = mix(stage.sky_low, stage.land, 0.25f);
  stage.materials.body = any_color(random);
  stage.materials.shade = stage.materials.body * random.range(0.22f, 0.4f);
  stage.materials.bright = mix(stage.materials.body, kWhite, random.range(0.7f, 0.9f));
  stage.materials.accent = any_color(random);
  stage.box = draw_box(key, size, horizon);
  return stage;
}

void paint_backdrop(Canvas& canvas, const Stage& stage, const RandomKey& key) {
  paint_sky(canvas, stage, key);
  paint_ground(canvas, stage, key);
}

void paint_clutter(Canvas& canvas, const Stage& stage, const RandomKey& key) {
  Random random(key, Stream::kClutter);
  const float side = static_cast<float>(stage.size);
  const int things = random.integer(4, 10);
  for (int i = 0; i < things; ++i) {
    const float scale = side * random.range(0.02f, 0.055f);
    const int kind = random.integer(0, 6);
    const bool in_the_air = kind >= 5;
    const Point foot = {random.range(0, side), in_the_air ? random.range(0.02f * side, 0.9f * side) : random.range(stage.horizon, side)};
    const Spot spot{foot, scale};
    switch (kind) {
      case 0: bush(canvas, spot, random); break;
      case 1: rock(canvas, spot, random); break;
      case 2: pole(canvas, spot, random); break;
      case 3: car(canvas, spot, random); break;
      case 4: bush(canvas, spot, random); break;
      case 5: bird(canvas, spot, random); break;
      default: bare_shape(canvas, spot, random);
    }
  }
}

void apply_light(Canvas& canvas, const Stage& stage, const RandomKey& key) {
  Random random(key, Stream::kLight);
  const float exposure = random.range(0.8f, 1.15f), contrast = random.range(0.9f, 1.2f);
  const Color tint = {random.range(0.88f, 1.1f), random.range(0.92f, 1.06f), random.range(0.88f, 1.1f)};
  const float fog = random.chance(0.3f) ? random.range(0.08f, 0.25f) : 0, fog_low = random.unit(),
              grain = random.chance(0.3f) ? random.range(0.01f, 0.04f) : 0;
  Random speckle(key, Stream::kGrain);
  for (int y = 0; y < stage.size; ++y) {
    const float v = static_cast<float>(y) / static_cast<float>(stage.size);
    const float thickness = fog * (fog_low * v + (1 - fog_low) * (1 - v));
    for (int x = 0; x < stage.size; ++x) {
      Color c = mix(canvas.at(x, y), stage.haze, thickness) * tint * exposure;
      c = {(c.r - 0.45f) * contrast + 0.45f, (c.g - 0.45f) * contrast + 0.45f, (c.b - 0.45f) * contrast + 0.45f};
      if (grain > 0) {
        const float g = (speckle.unit() - 0.5f) * 2 * grain;
        c = c + Color{g, g, g};
      }
      canvas.at(x, y) = c;
    }
  }
}

}  // namespace mirilla::data::scenes
