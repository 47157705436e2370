// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/measure/cam_measures.h"

/// Remove and debias: pixels are replaced by values computed from their neighbours, so that the network sees no grey holes
/// and the outline of the missing part does not reveal the class. [Rong et al. 2022, "A consistent and efficient evaluation strategy for
/// attribution methods"; pytorch_grad_cam.metrics.road]
namespace mirilla::nn {

/// The picture with each missing pixel equal to the weighted mean of its neighbours, 1/6 beside and 1/12 diagonal, missing ones too: a
/// linear system, solved to 1e-8 by conjugate gradients. There are no neighbours outside the picture. If everything is missing the result
/// is 0.
///
///   missing  (height, width) not 0 where a pixel is missing
std::vector<double> impute(const Subject& subject, std::span<const uint8_t> missing);

struct RoadOptions {
  std::vector<int> percents = {10, 20, 30, 40, 50, 60, 70, 80, 90};  // of the pixels that stay
  double noise = 0.01;  // its standard deviation, in normalised values: without it, smoothness would reveal the missing pixels
  RandomKey key = {.purpose = Purpose::kPointing};  // the noise is its normal_numbers, in the picture's order, the same for each percent
};

/// Means over the percents.
struct Road {
  double most_first = 0;                                              // the confidence, the strongest pixels missing: low is good
  double least_first = 0;                                             // the weakest missing: high is good
  double combined() const { return (least_first - most_first) / 2; }  // -1/2 to 1/2                       [ROADCombined]
};

/// With p percent, ceil(p (n - 1) / 100) of the n pixels stay: those below numpy.percentile if no two are equal.
Road road(const Subject& subject, std::span<const uint32_t> strongest_first, const Confidence& confidence, const RoadOptions& options = {});

}  // namespace mirilla::nn
