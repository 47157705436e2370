// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/measure/cam_measures.h"

/// Remove and debias: pixels are taken away by values that follow from their neighbours, so that neither the network is shown grey holes
/// nor the outline of what is missing tells it the class. [Rong et al. 2022, "A consistent and efficient evaluation strategy for
/// attribution methods"; pytorch_grad_cam.metrics.road]
namespace mirilla::nn {

/// The picture with each missing pixel equal to the weighted mean of its neighbours, beside 1/6 and diagonal 1/12, missing ones too: a
/// linear system, solved to 1e-8 by conjugate gradients. Outside the picture there are no neighbours. Where everything is missing it is 0.
///
///   missing  (height, width) not 0 where a pixel is missing
std::vector<double> impute(const Subject& subject, std::span<const uint8_t> missing);

struct RoadOptions {
  std::vector<int> percents = {10, 20, 30, 40, 50, 60, 70, 80, 90};  // of the pixels that stay
  double noise = 0.01;  // its standard deviation, of normalised values: smoothness alone shall not give missing pixels away
  RandomKey key = {.purpose = Purpose::kPointing};  // normal_numbers of it are the noise, in the picture's order, the same for each percent
};

/// Means over the percents.
struct Road {
  double most_first = 0;                                              // the confidence, the strongest pixels missing: low is good
  double least_first = 0;                                             // the weakest missing: high is good
  double combined() const { return (least_first - most_first) / 2; }  // -1/2 to 1/2                       [ROADCombined]
};

/// With p percent, ceil(p (n - 1) / 100) of the n pixels stay: what lies below numpy.percentile where no two are equal.
Road road(const Subject& subject, std::span<const uint32_t> strongest_first, const Confidence& confidence, const RoadOptions& options = {});

}  // namespace mirilla::nn
