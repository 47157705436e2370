// SPDX-License-Identifier: MIT
#pragma once

#include "data/draw/canvas.h"
#include "data/scenes/scenes.h"
#include "data/scenes/scenes_stage.h"

/// The six exhibits, each recognisable by its form alone. Every one fills its box from edge to edge (within half a grid cell), stays inside
/// it, and takes its colours from the stage.
namespace mirilla::data::scenes {

/// Maps the unit square onto a box, v downwards, and converts lengths.
struct Frame {
  const Stage& stage;

  Point at(float u, float v) const {
    return {static_cast<float>(stage.box.left) + u * static_cast<float>(stage.box.width()),
            static_cast<float>(stage.box.top) + v * static_cast<float>(stage.box.height())};
  }
  float u_of(float x) const { return (x - static_cast<float>(stage.box.left)) / static_cast<float>(stage.box.width()); }
  float v_of(float y) const { return (y - static_cast<float>(stage.box.top)) / static_cast<float>(stage.box.height()); }
  float width() const { return static_cast<float>(stage.box.width()); }
  float height() const { return static_cast<float>(stage.box.height()); }
  /// A share of the picture's side in pixels.
  float pixels(float share) const { return share * static_cast<float>(stage.size); }
};

void draw_buildings(Canvas& canvas, const Frame& frame, const RandomKey& key);  // blocks with grids of windows
void draw_street(Canvas& canvas, const Frame& frame, const RandomKey& key);     // a road to its vanishing point, lane marks, lamp posts
void draw_forest(Canvas& canvas, const Frame& frame, const RandomKey& key);     // two rows of trees over undergrowth
void draw_glacier(Canvas& canvas, const Frame& frame, const RandomKey& key);    // jagged blocks of ice between crevasses
void draw_mountain(Canvas& canvas, const Frame& frame, const RandomKey& key);   // peaks with a lit side and snow
void draw_sea(Canvas& canvas, const Frame& frame, const RandomKey& key);        // bands of waves, closer towards the horizon, with foam

void draw_exhibit(SceneClass exhibit, Canvas& canvas, const Frame& frame, const RandomKey& key);

}  // namespace mirilla::data::scenes
