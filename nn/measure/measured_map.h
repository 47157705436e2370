// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/philox.h"
#include "nn/explain/explain.h"

/// Maps in the form that measures use, and the baselines to compare them with.
namespace mirilla::nn {

/// One map over one picture.
struct MeasuredMap {
  int height = 0, width = 0;     // of the picture
  std::vector<double> values;    // (height, width) in [0,1]
  std::vector<double> strength;  // (height, width) what ranks the pixels: values, but before any clipping
  CamMap cells;                  // the original map with negative values 0: it points at its largest cell
  bool empty = false;            // no value was positive: all are 0
};

/// values = stretched(max(map, 0)) / its largest value, stretched as in figures (data::stretch_map). A map without a positive value
/// is empty, and 0 everywhere; values that are not a number become 0.
MeasuredMap measured_map(const CamMap& map, int height, int width);
/// The measured map of saliency(); for pixel methods its strength is not clipped as in magnitude(), so that the strongest pixel is unique.
MeasuredMap measured_map(const Explanation& explanation, int height, int width);

/// The pixels, strongest first; equal ones in an order drawn from `ties`, so that a flat map gives a random order and no direction wins.
std::vector<uint32_t> strongest_first(const MeasuredMap& map, RandomKey ties);

/// exp(-d^2 / 2 s^2), d from the picture's centre and s a quarter of its shorter side: objects tend to be in the middle of photos.
CamMap centre_map(int height, int width);
/// Uniform numbers in [0,1), one draw of `key` per place.
CamMap random_map(int height, int width, RandomKey key);

}  // namespace mirilla::nn
