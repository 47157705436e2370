// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

/// The formulas of the class activation maps, on the host in double: one picture, one layer, one function per method. Each follows
/// pytorch-grad-cam 1.5.7 where that has it, before any ReLU of the map. Grad-CAM itself is grad_cam_layer (nn/explain/grad_cam.h).
namespace mirilla::nn {

/// One picture's output of one layer and its gradient: A[i,c] and G[i,c] = d score / d A[i,c], i counting the h w places row by row.
struct CamLayer {
  std::span<const double> activation;  // (places, channels)
  std::span<const double> gradient;    // the same, or empty for the methods that need none
  size_t channels = 0;
  size_t places() const { return activation.size() / channels; }
};

/// map[i] = sum_c weights[c] A[i,c]: (places).
std::vector<double> weighted_sum(const CamLayer& layer, std::span<const double> weights);

/// w_c = sum_i a[i,c] max(G[i,c], 0),  a = G^2 / (2 G^2 + G^3 sum_j A[j,c] + 1e-6), 0 where G = 0. [Chattopadhay et al. 2018, "Grad-CAM++",
/// eq. 19]
std::vector<double> gradcam_plus_plus(const CamLayer& layer);

/// map[i] = sum_c G[i,c] A[i,c]: each place with its own gradient.                              [Draelos and Carin 2020, "HiResCAM"]
std::vector<double> hirescam(const CamLayer& layer);

/// w_c = sum_i G[i,c] A[i,c] / (sum_j A[j,c] + 1e-7).                                              [Fu et al. 2020, "XGrad-CAM"]
std::vector<double> xgradcam(const CamLayer& layer);

/// map[i] = sum_c max(G[i,c], 0) A[i,c].                                                           [Jiang et al. 2021, "LayerCAM"]
std::vector<double> layercam(const CamLayer& layer);

/// The places along the direction in which A varies most: with M = A minus each channel's mean, and v the unit vector that maximises |M v|,
/// map = M v. Independent of the class.
///                                                                                                  [Muhammad and Yeasin 2020, "Eigen-CAM"]
///
/// v is known up to its sign, and the package keeps the sign that LAPACK returns. Here the sign is chosen so that the map grows where the
/// sum over c of A[i,c] grows.
std::vector<double> eigencam(const CamLayer& layer);

/// The same of G[i,c] A[i,c], whose sum is HiResCAM's map; so it grows with the evidence for the target.        [pytorch-grad-cam]
std::vector<double> eigengradcam(const CamLayer& layer);

/// M v as above for any (places, channels) rows. All zero where no row differs from another.
std::vector<double> principal_projection(std::span<const double> rows, size_t channels);

}  // namespace mirilla::nn
