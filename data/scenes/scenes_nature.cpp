// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "data/scenes/scenes_exhibits.h"

// The exhibits from nature: forest, glacier, mountain, sea.
namespace mirilla::data::scenes {
namespace {

struct Tree {
  float u, top, foot, half_width;
  bool conifer;
  Color crown;
};

void draw_conifer(Canvas& canvas, const Frame& frame, const Tree& tree, Color dark) {
  const int tiers = 4;
  const float height = (tree.foot - tree.top) * 0.78f;
  for (int tier = tiers; tier-- > 0;) {
    const float share = static_cast<float>(tier + 1) / tiers;
    const float top = tree.top + height * static_cast<float>(tier) / tiers * 0.85f, low = tree.top + height * share;
    const float half = tree.half_width * (0.35f + 0.65f * share);
    const std::array<Point, 3> tier_outline = {frame.at(tree.u, top), frame.at(tree.u + half, low), frame.at(tree.u - half, low)};
    canvas.polygon(tier_outline, tree.crown * (1.12f - 0.08f * static_cast<float>(tier)));
    const std::array<Point, 3> shadow = {frame.at(tree.u, top), frame.at(tree.u + half, low), frame.at(tree.u + half * 0.2f, low)};
    canvas.polygon(shadow, dark, 0.45f);
  }
}

void draw_round_tree(Canvas& canvas, const Frame& frame, const Tree& tree, Color dark, Random& random) {
  const float crown = (tree.foot - tree.top) * 0.6f;  // its height
  const Point center = frame.at(tree.u, tree.top + crown / 2);
  const float rx = tree.half_width * frame.width(), ry = crown / 2 * frame.height();
  canvas.ellipse(center, rx, ry, tree.crown * 0.85f);
  for (int i = 0; i < 6; ++i) {
    const Point d = direction(random.unit());
    const float far = random.range(0.2f, 0.55f);
    canvas.ellipse({center.x + d.x * rx * far, center.y + d.y * ry * far}, rx * 0.4f, ry * 0.35f, d.y + d.x > 0 ? dark : tree.crown * 1.2f,
                   0.45f);
  }
}

void draw_row(Canvas& canvas, const Frame& frame, int count, float tops, float foot, Random& random, float conifers) {
  const Materials& m = frame.stage.materials;
  const int highest = random.integer(0, count - 1);
  for (int i = 0; i < count; ++i) {
    const float half = std::min(0.5f, random.range(0.75f, 1.0f) * 0.7f / static_cast<float>(count));
    const float even = (static_cast<float>(i) + 0.5f) / static_cast<float>(count);
    const float u = std::clamp(even + random.range(-0.25f, 0.25f) / static_cast<float>(count), half, 1 - half);
    const Color crown = mix(m.body, random.chance(0.3f) ? m.accent : m.bright, random.range(0.0f, 0.35f)) * random.range(0.75f, 1.1f);
    const Tree tree{u, i == highest ? tops : tops + random.range(0.01f, 0.12f), foot, half, random.chance(conifers), crown};
    canvas.line(frame.at(u, foot), frame.at(u, tree.top + (foot - tree.top) * 0.4f), std::max(1.5f, frame.pixels(0.02f)), m.shade * 0.6f);
    if (tree.conifer) {
      draw_conifer(canvas, frame, tree, m.shade);
    } else {
      draw_round_tree(canvas, frame, tree, m.shade, random);
    }
  }
}

// A skyline from the left edge to the right one, between `lowest` and the frame's upper edge, which its highest point touches; closed along
// the lower edge.
std::vector<Point> close_below(const Frame& frame, const std::vector<Point>& skyline) {
  std::vector<Point> outline;
  for (const Point& p : skyline) outline.push_back(frame.at(p.x, p.y));
  outline.push_back(frame.at(1, 1));
  outline.push_back(frame.at(0, 1));
  return outline;
}

// Steps of ice: flat or leaning tops, steep sides.
std::vector<Point> ice_skyline(Random& random) {
  const int blocks = random.integer(5, 8);
  const int highest = random.integer(0, blocks - 1);
  std::vector<Point> skyline;
  for (int i = 0; i < blocks; ++i) {
    const float left = static_cast<float>(i) / static_cast<float>(blocks), right = static_cast<float>(i + 1) / static_cast<float>(blocks);
    const float top = i == highest ? 0.0f : random.range(0.03f, 0.22f), lean = random.range(0.02f, 0.12f);
    const bool rises = random.chance(0.5f);
    skyline.push_back({left + (i == 0 ? 0 : 0.02f), rises ? top + lean : top});
    skyline.push_back({right - (i + 1 == blocks ? 0 : 0.02f), rises ? top : top + lean});
  }
  return skyline;
}

struct Peak {
  float u, top;
};

std::vector<Peak> draw_peaks(Random& random) {
  const int count = random.integer(1, 2);
  const int highest = random.integer(0, count - 1);
  std::vector<Peak> peaks;
  for (int i = 0; i < count; ++i) {
    const float even = (static_cast<float>(i) + 0.5f) / static_cast<float>(count);
    peaks.push_back({even + random.range(-0.2f, 0.2f) / static_cast<float>(count), i == highest ? 0.0f : random.range(0.06f, 0.2f)});
  }
  return peaks;
}

// Straight slopes between peaks and saddles, each bent once.
std::vector<Point> ridge(const std::vector<Peak>& peaks, Random& random) {
  std::vector<Point> corners = {{0, random.range(0.4f, 0.6f)}};
  for (size_t i = 0; i < peaks.size(); ++i) {
    if (i > 0)
      corners.push_back({(peaks[i - 1].u + peaks[i].u) / 2, std::max(peaks[i - 1].top, peaks[i].top) + random.range(0.12f, 0.22f)});
    corners.push_back({peaks[i].u, peaks[i].top});
  }
  corners.push_back({1, random.range(0.4f, 0.6f)});
  std::vector<Point> skyline = {corners[0]};
  for (size_t i = 1; i < corners.size(); ++i) {
    const Point a = corners[i - 1], b = corners[i];
    const float t = random.range(0.35f, 0.65f);
    skyline.push_back({a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * (t + random.range(-0.1f, 0.1f))});
    skyline.push_back(b);
  }
  return skyline;
}

}  // namespace

void draw_forest(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  const Materials& m = frame.stage.materials;
  constexpr std::array<float, 3> kConifers = {0.0f, 1.0f, 0.5f};
  const float conifers = random.pick(kConifers);
  std::vector<Point> depths;  // the dark between the trees
  for (int i = 0; i <= 12; ++i) depths.push_back({static_cast<float>(i) / 12, random.range(0.15f, 0.25f)});
  canvas.polygon(close_below(frame, depths), m.shade * 0.7f);
  draw_row(canvas, frame, random.integer(6, 8), 0, 0.55f, random, conifers);
  draw_row(canvas, frame, random.integer(5, 7), random.range(0.2f, 0.28f), 0.78f, random, conifers);
  draw_row(canvas, frame, random.integer(5, 6), random.range(0.45f, 0.52f), random.range(0.95f, 1.0f), random, conifers);
}

void draw_glacier(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  Random texture(key, Stream::kTexture);
  const Noise noise(texture);
  const Materials& m = frame.stage.materials;
  const Coverage shape = cover_polygon(close_below(frame, ice_skyline(random)), canvas.clip());
  const float center = random.range(0.3f, 0.7f), frequency = random.range(5.0f, 7.0f), slope = random.range(0.7f, 1.1f);
  const float phase = random.unit();
  canvas.lay(shape, 1, [&](int x, int y) {
    const float u = frame.u_of(static_cast<float>(x) + 0.5f), v = frame.v_of(static_cast<float>(y) + 0.5f);
    const float jag = (noise.at(u * 11, v * 11) - 0.5f) * 0.5f;
    const float band = wave((v - std::abs(u - center) * slope) * frequency + phase + jag);
    const Color ice = mix(m.bright, {1, 1, 1}, 0.5f * noise.at(u * 6 + 9, v * 6));
    return mix(ice, mix(m.shade, m.body, 0.4f), saturate((band - 0.3f) * 3));
  });
}

void draw_mountain(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  Random texture(key, Stream::kTexture);
  const Noise noise(texture);
  const Materials& m = frame.stage.materials;
  const std::vector<Peak> peaks = draw_peaks(random);
  const Coverage shape = cover_polygon(close_below(frame, ridge(peaks, random)), canvas.clip());
  const float snow = random.range(0.22f, 0.38f), spurs = random.range(1.6f, 2.4f), phase = random.unit();
  const bool from_left = random.chance(0.5f);
  canvas.lay(shape, 1, [&](int x, int y) {
    const float u = frame.u_of(static_cast<float>(x) + 0.5f), v = frame.v_of(static_cast<float>(y) + 0.5f);
    const Peak& peak = *std::min_element(peaks.begin(), peaks.end(), [u](const Peak& a, const Peak& b) {
      return std::abs(a.u - u) + a.top * 0.5f < std::abs(b.u - u) + b.top * 0.5f;
    });
    // Spurs fan out below the peak, one side of each in the light.
    const float fan = (u - peak.u) / (v - peak.top + 0.3f) * spurs + (noise.at(v * 7, peak.u * 31 + u * 2) - 0.5f) * 0.45f;
    const bool lit = (wave(fan + phase) > 0) == from_left;
    const float line = peak.top + snow + wave(u * 6 + noise.at(u * 4, 3)) * 0.07f;
    const Color rock = (lit ? mix(m.body, m.bright, 0.3f) : m.shade) * (0.85f + 0.3f * noise.fractal(u * 8, v * 8, 3));
    const Color white = lit ? mix(m.bright, {1, 1, 1}, 0.5f) : mix(m.bright, m.shade, 0.35f);
    return mix(white, rock, saturate((v - line) * frame.height() + 0.5f));
  });
}

void draw_sea(Canvas& canvas, const Frame& frame, const RandomKey& key) {
  Random random(key, Stream::kExhibit);
  Random texture(key, Stream::kTexture);
  const Noise noise(texture);
  const Materials& m = frame.stage.materials;
  std::vector<Point> outline = {frame.at(0, 0), frame.at(1, 0)};
  for (int i = 0; i <= 24; ++i) {
    const Point d = direction(static_cast<float>(i) / 48);
    outline.push_back(frame.at(0.5f + 0.5f * d.x, 0.45f + 0.55f * std::sqrt(std::max(d.y, 0.0f))));
  }
  const float frequency = random.range(1.6f, 2.4f), phase = random.unit(), sway = random.range(0.3f, 0.9f), foam = random.range(0.4f, 0.6f);
  canvas.lay(cover_polygon(outline, canvas.clip()), 1, [&](int x, int y) {
    const float u = frame.u_of(static_cast<float>(x) + 0.5f), v = frame.v_of(static_cast<float>(y) + 0.5f);
    const float distance = 1 / (v + 0.22f);  // from the shore: rows get closer towards the horizon
    const float swell =
        wave(distance * frequency * 1.6f + phase + (noise.at(u * 3 * (0.6f + distance * 0.3f), distance * 3) - 0.5f) * sway);
    const Color water = mix(m.shade, m.body, 0.5f + 0.5f * swell);
    const float crest = saturate((swell - 0.45f) * 4) * saturate((noise.fractal(u * 7, distance * 6, 2) - foam + 0.1f) * 8);
    return mix(mix(water, m.bright, saturate(1 - v * 7) * 0.5f), mix(m.bright, {1, 1, 1}, 0.6f), crest);
  });
}

void draw_exhibit(SceneClass exhibit, Canvas& canvas, const Frame& frame, const RandomKey& key) {
  switch (exhibit) {
    case SceneClass::kBuildings: return draw_buildings(canvas, frame, key);
    case SceneClass::kForest: return draw_forest(canvas, frame, key);
    case SceneClass::kGlacier: return draw_glacier(canvas, frame, key);
    case SceneClass::kMountain: return draw_mountain(canvas, frame, key);
    case SceneClass::kSea: return draw_sea(canvas, frame, key);
    case SceneClass::kStreet: return draw_street(canvas, frame, key);
  }
}

}  // namespace mirilla::data::scenes
