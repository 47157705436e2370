// SPDX-License-Identifier: MIT
#pragma once

#include "data/draw/canvas.h"
#include "data/scenes/scenes_random.h"

/// The parts that do not depend on the class: the exhibit's place and colours, the background, the light.
namespace mirilla::data::scenes {

/// Boxes lie on a grid of this many cells per side, so that a box can be recovered from a mask that almost reaches its edges.
inline constexpr int kGrid = 16;

/// The first pixel of a grid line.
constexpr int grid_pixel(int line, int size) { return line * size / kGrid; }

/// Colours of an exhibit: any class may have any of them.
struct Materials {
  Color body;
  Color shade;
  Color bright;
  Color accent;
};

struct Stage {
  int size = 0;
  float horizon = 0;  // pixels from the top
  Color sky_top, sky_low, land, haze;
  Bounds box;  // of the exhibit, on the grid
  Materials materials;
};

Stage draw_stage(const RandomKey& key, int size);

/// Sky, sun, clouds, hills and ground, over the whole canvas.
void paint_backdrop(Canvas& canvas, const Stage& stage, const RandomKey& key);

/// Bushes, rocks, poles, cars, birds and bare shapes, everywhere, behind the exhibit.
void paint_clutter(Canvas& canvas, const Stage& stage, const RandomKey& key);

/// Exposure, contrast, tint, fog, grain: the whole picture, exhibit included.
void apply_light(Canvas& canvas, const Stage& stage, const RandomKey& key);

}  // namespace mirilla::data::scenes
