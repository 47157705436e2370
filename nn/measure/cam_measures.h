// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/pictures/picture.h"
#include "nn/measure/measured_map.h"

/// How good a map is, for one picture: by a mask of the evidence, and by the network's confidence when pixels are removed. On the host in
/// double.
namespace mirilla::nn {

/// The question that measures put to the network: the probability of the explained class, for each of n pictures (n, height, width, 3)
/// normalised.
using Confidence = std::function<std::vector<double>(std::span<const double> pictures, int64_t n)>;

/// One picture, (height, width, 3) normalised.
struct Subject {
  std::span<const double> pixels;
  int height = 0, width = 0;
};

// --- With a mask: a picture of the map's size, inside where half covered or more (>= 128)
// --------------------------------------------------

/// The tolerance of Zhang et al., 15 pixels at 224, in proportion to the shorter side.
int pointing_tolerance(int height, int width);

/// Whether the mask covers a pixel by half at least: where a mask was resized, its edge is grey.
bool inside(const data::Picture& mask, int x, int y);

/// Whether the centre of the map's largest cell lies in the mask or at most `tolerance` pixels from it; of equal cells `ties` draws
/// one. An empty map points nowhere: false.
///                                                                  [Zhang et al. 2016, "Top-down neural attention by excitation backprop"]
bool points_inside(const MeasuredMap& map, const data::Picture& mask, int tolerance, RandomKey ties);

/// sum of values in the mask / sum of all values; 0 for an empty map.
///                                                                                                          [Wang et al. 2020, "Score-CAM"]
double energy_inside(const MeasuredMap& map, const data::Picture& mask);

/// The share of the picture that the mask covers: the energy inside of a flat map.
double share_inside(const data::Picture& mask);

// --- Removing pixels -----------------------------------------------------------------------------------------------------------------

/// Separable, with sigma 5 pixels, cut at 15; weights outside the picture are given to the others.
std::vector<double> blurred(const Subject& subject);

/// The confidence after 0, 1 ... `steps` steps, steps + 1 values: after step k the floor(k n / steps) strongest of the n pixels come from
/// `to`, the others from the picture. Deletion goes from the picture to zeros, the data set's mean colour; insertion from the blurred
/// picture to the picture, as in RISE.                                                                    [Petsiuk et al. 2018, "RISE"]
std::vector<double> replacing_curve(std::span<const double> from, std::span<const double> to, std::span<const uint32_t> strongest_first,
                                    int64_t steps, const Confidence& confidence);

/// The area under a curve over [0,1], by the trapezoidal rule.
double area_under(std::span<const double> curve);

/// The picture times the map, values in [0,1]: hidden parts get the data set's mean colour.
std::vector<double> seen_through(const Subject& subject, const MeasuredMap& map);

/// max(0, whole - seen) / whole: the average drop is its mean, the average increase the mean of seen > whole.
/// [Chattopadhay et al. 2018, "Grad-CAM++", section 4.1]
double confidence_drop(double whole, double seen);

// --- Comparing maps -------------------------------------------------------------------------------------------------------------------

/// |a - b| / |a|, Euclidean, of the values; 0 if both are empty, 1 if one is.
///                                                                                 [Yeh et al. 2019, "On the (in)fidelity and sensitivity"]
double relative_change(const MeasuredMap& a, const MeasuredMap& b);

/// Spearman's correlation: Pearson's correlation of the ranks; equal values get their mean rank; 0 if either map is flat.
double rank_correlation(std::span<const double> a, std::span<const double> b);

/// The mean structural similarity of maps in [0,1] over all 7x7 windows that fit: uniform weights, variances over n - 1, c1 = 0.01^2,
/// c2 = 0.03^2. Throws ShapeError for smaller maps.  [Wang et al. 2004; skimage.metrics.structural_similarity with data_range=1]
double structural_similarity(const MeasuredMap& a, const MeasuredMap& b);

}  // namespace mirilla::nn
