// SPDX-License-Identifier: MIT
#include "data/scenes/scenes.h"

#include <algorithm>

#include "data/scenes/scenes_exhibits.h"
#include "data/scenes/scenes_stage.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

using scenes::grid_pixel;
using scenes::kGrid;

Bounds bounding_box(std::span<const uint8_t> mask, int width, int height) {
  Bounds box{width, height, 0, 0};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (mask[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)] < 128) continue;
      box = {std::min(box.left, x), std::min(box.top, y), std::max(box.right, x + 1), std::max(box.bottom, y + 1)};
    }
  }
  return box;
}

int round_down(int pixel, int size) {
  int line = kGrid;
  while (grid_pixel(line, size) > pixel) --line;
  return grid_pixel(line, size);
}

int round_up(int pixel, int size) {
  int line = 0;
  while (grid_pixel(line, size) < pixel) ++line;
  return grid_pixel(line, size);
}

// Each pixel of the box becomes a mean of the four pixels just outside the box in its row and its column, nearer ones weigh more; a side
// on the picture's edge has none.
void fill_from_ring(Picture& picture, const Bounds& box) {
  for (int y = box.top; y < box.bottom; ++y) {
    for (int x = box.left; x < box.right; ++x) {
      int64_t sum[3] = {0, 0, 0}, total = 0;
      const auto add = [&](int from_x, int from_y, int distance) {
        if (from_x < 0 || from_y < 0 || from_x >= picture.width || from_y >= picture.height) return;
        const int64_t weight = (int64_t{1} << 20) / distance;
        const uint8_t* p = picture.at(from_x, from_y);
        for (int c = 0; c < 3; ++c) sum[c] += weight * p[c];
        total += weight;
      };
      add(box.left - 1, y, x - box.left + 1);
      add(box.right, y, box.right - x);
      add(x, box.top - 1, y - box.top + 1);
      add(x, box.bottom, box.bottom - y);
      uint8_t* out = picture.at(x, y);
      for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>(total > 0 ? (sum[c] + total / 2) / total : 128);
    }
  }
}

}  // namespace

Scene compose_scene(SceneClass exhibit, const RandomKey& key, int size) {
  constexpr int kLeast = 16, kMost = 4096;
  if (size < kLeast || size > kMost) {
    throw UsageError(fmt::format("expected a scene size from {} to {} pixels, got {}", kLeast, kMost, size),
                     "96 and 128 are good sizes for training");
  }
  const scenes::Stage stage = scenes::draw_stage(key, size);
  Canvas canvas(size, size, stage.sky_top);
  scenes::paint_backdrop(canvas, stage, key);
  scenes::paint_clutter(canvas, stage, key);

  canvas.set_clip(stage.box);
  canvas.start_recording();
  scenes::draw_exhibit(exhibit, canvas, scenes::Frame{stage}, key);
  const std::vector<float> covered = canvas.stop_recording();
  canvas.clear_clip();

  scenes::apply_light(canvas, stage, key);
  Scene scene{canvas.to_picture(), std::vector<uint8_t>(covered.size())};
  std::transform(covered.begin(), covered.end(), scene.mask.begin(), [](float share) { return share >= 0.5f ? uint8_t{255} : uint8_t{0}; });
  return scene;
}

Scene draw_scene(SceneClass scene_class, uint64_t seed, uint32_t index, int size) {
  return compose_scene(scene_class, {seed, Purpose::kScene, static_cast<uint32_t>(scene_class), index}, size);
}

Picture paint_over(const Picture& picture, std::span<const uint8_t> mask) {
  if (mask.size() * 3 != picture.pixels.size()) {
    throw ShapeError(fmt::format("paint_over: the picture has {} x {} pixels and the mask {}", picture.width, picture.height, mask.size()),
                     "a scene's mask has one byte a pixel");
  }
  Bounds box = bounding_box(mask, picture.width, picture.height);
  Picture out = picture;
  if (box.empty()) return out;
  box = {round_down(box.left, picture.width), round_down(box.top, picture.height), round_up(box.right, picture.width),
         round_up(box.bottom, picture.height)};
  fill_from_ring(out, box);
  return out;
}

}  // namespace mirilla::data
