// SPDX-License-Identifier: MIT
#include "nn/explain/cam_formulas.h"

#include <algorithm>
#include <functional>

namespace mirilla::nn {

namespace {

std::vector<double> channel_sums(std::span<const double> rows, size_t channels) {
  std::vector<double> sums(channels, 0.0);
  for (size_t k = 0; k < rows.size(); ++k) sums[k % channels] += rows[k];
  return sums;
}

// sum over c of f(A[i,c], G[i,c]) for each place
template <class F>
std::vector<double> sum_at_each_place(const CamLayer& layer, F f) {
  std::vector<double> map(layer.places(), 0.0);
  for (size_t k = 0; k < layer.activation.size(); ++k) map[k / layer.channels] += f(layer.activation[k], layer.gradient[k]);
  return map;
}

}  // namespace

std::vector<double> weighted_sum(const CamLayer& layer, std::span<const double> weights) {
  std::vector<double> map(layer.places(), 0.0);
  for (size_t k = 0; k < layer.activation.size(); ++k) map[k / layer.channels] += weights[k % layer.channels] * layer.activation[k];
  return map;
}

std::vector<double> gradcam_plus_plus(const CamLayer& layer) {
  constexpr double kEps = 1e-6;
  const std::vector<double> sums = channel_sums(layer.activation, layer.channels);
  std::vector<double> weights(layer.channels, 0.0);
  for (size_t k = 0; k < layer.gradient.size(); ++k) {
    const double g = layer.gradient[k];
    if (g <= 0) continue;  // the factor max(G, 0) is 0
    weights[k % layer.channels] += g * g * g / (2 * g * g + sums[k % layer.channels] * g * g * g + kEps);
  }
  return weighted_sum(layer, weights);
}

std::vector<double> hirescam(const CamLayer& layer) {
  return sum_at_each_place(layer, [](double a, double g) { return g * a; });
}

std::vector<double> xgradcam(const CamLayer& layer) {
  constexpr double kEps = 1e-7;
  const std::vector<double> sums = channel_sums(layer.activation, layer.channels);
  std::vector<double> weights(layer.channels, 0.0);
  for (size_t k = 0; k < layer.gradient.size(); ++k)
    weights[k % layer.channels] += layer.gradient[k] * layer.activation[k] / (sums[k % layer.channels] + kEps);
  return weighted_sum(layer, weights);
}

std::vector<double> layercam(const CamLayer& layer) {
  return sum_at_each_place(layer, [](double a, double g) { return std::max(g, 0.0) * a; });
}

std::vector<double> eigencam(const CamLayer& layer) { return principal_projection(layer.activation, layer.channels); }

std::vector<double> eigengradcam(const CamLayer& layer) {
  std::vector<double> products(layer.activation.size());
  std::transform(layer.activation.begin(), layer.activation.end(), layer.gradient.begin(), products.begin(), std::multiplies<>());
  return principal_projection(products, layer.channels);
}

}  // namespace mirilla::nn
