// SPDX-License-Identifier: MIT
#pragma once

// Include only C headers here, as in loops.h.
#include <stdint.h>

namespace mirilla::cpu {

/// Which pixels of the warped picture an output coordinate takes along one axis, and the weight of each: `count` of them for each of
/// `extent` coordinates, position[k * extent + i] and weight[k * extent + i].
struct AugmentTaps {
  int32_t count, extent;
  const int32_t* position;
  const float* weight;
};

/// What Backend::augment needs for one picture.
struct AugmentPicture {
  const uint32_t* pixels;  // (height, width), red + 2^8 green + 2^16 blue
  int32_t height, width;
  double map[9];  // (3,3), row-major: a warped pixel (x, y, 1) to its source pixel (x' z, y' z, z)
  AugmentTaps rows, columns;
  bool lighting;
  float shift, contrast;
  float factor[3], offset[3];  // normalised = factor value + offset, value in [0,1]
};

}  // namespace mirilla::cpu
