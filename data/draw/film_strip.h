// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/draw/figure.h"

namespace mirilla::data {

/// One strip: one picture, frame by frame.
struct Film {
  std::string title;          // above the strip
  std::vector<Panel> frames;  // each with its title below
};

/// The films below one another on white, each a dark strip with perforations; frames are squares of frame_px, so square pictures keep their
/// shape. Throws UsageError without films, for a film without frames and for frame_px below 64.
Picture film_strip(std::span<const Film> films, int frame_px = 144);

}  // namespace mirilla::data
