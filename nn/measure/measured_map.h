// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/philox.h"
#include "nn/explain/explain.h"

/// Maps as measures look at them, and the baselines beside which a map means something.
namespace mirilla::nn {

/// One map over one picture.
struct MeasuredMap {
  int height = 0, width = 0;     // the picture's
  std::vector<double> values;    // (height, width) in [0,1]
  std::vector<double> strength;  // (height, width) what ranks the pixels: values, but before any clipping
  CamMap cells;                  // as it came, its negative values 0: its largest cell is where it points
  bool empty = false;            // nothing in it was positive: all is 0
};

/// values = stretched(max(map, 0)) / its largest value, stretched as pictures show it (data::stretch_map). A map without a positive value
/// is empty, and 0 everywhere; so is, place by place, what is not a number.
MeasuredMap measured_map(const CamMap& map, int height, int width);
/// That of saliency(), and for pixel methods its strength without magnitude()'s clipping: the strongest pixel stays one.
MeasuredMap measured_map(const Explanation& explanation, int height, int width);

/// The pixels, the strongest first; equals in an order that `ties` draws, so that a flat map is a random one and no reading direction wins.
std::vector<uint32_t> strongest_first(const MeasuredMap& map, RandomKey ties);

/// exp(-d^2 / 2 s^2), d from the picture's centre and s a quarter of its shorter side: photographers put things into the middle.
CamMap centre_map(int height, int width);
/// Uniform numbers in [0,1), a place a draw of `key`.
CamMap random_map(int height, int width, RandomKey key);

}  // namespace mirilla::nn
