// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/core/shape.h"
#include "nn/modules/resnet.h"

namespace mirilla::test {

/// Numbers that both the scripts in this folder and the tests compute from a tensor's name, so that no file has to store a network.
/// make_resnet.py states the formulas, oracle_file.py has the same code.
inline uint64_t fnv1a64(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
  return hash;
}

/// n numbers in [0,1).
inline std::vector<double> units(std::string_view name, int64_t n) {
  const RandomKey key{.seed = fnv1a64(name), .purpose = Purpose::kTest};
  std::vector<double> values;
  for (uint32_t block = 0; static_cast<int64_t>(values.size()) < n; ++block)
    for (const uint32_t word : key.block(block)) values.push_back(to_unit(word));
  values.resize(static_cast<size_t>(n));
  return values;
}

/// A parameter or buffer of a ResNet, in Mirilla's layout; `shift` is added to a bias.
inline std::vector<float> values_for(const std::string& name, const Shape& shape, double shift = 0) {
  std::vector<float> values;
  const double fan_in = shape.rank() > 1 ? static_cast<double>(shape.numel() / shape[0]) : 1;
  const double middle = name.ends_with("bn2.weight") || name.ends_with("bn3.weight") ? 0.25 : name.ends_with("weight") ? 1 : shift;
  for (const double u : units(name, shape.numel())) {
    if (shape.rank() > 1)
      values.push_back(static_cast<float>(std::sqrt(3 / fan_in) * (2 * u - 1)));
    else if (name.ends_with("running_var"))
      values.push_back(static_cast<float>(1 + 0.5 * u));
    else
      values.push_back(static_cast<float>(0.1 * (2 * u - 1) + middle));
  }
  return values;
}

/// Gives every parameter and buffer of a model its named values.
inline void fill_by_name(nn::Module& model) {
  for (const auto& all : {model.parameters(), model.buffers()})
    for (nn::NamedTensor named : all)
      named.tensor.copy_from(from_host(values_for(named.name, named.tensor.shape()), named.tensor.shape(), named.tensor.device()));
}

/// 8 dot products of a tensor with directions of +1 and -1, as oracle_file.py says.
inline std::array<double, 8> projections(std::string_view name, std::span<const double> values) {
  const RandomKey key{.seed = fnv1a64(fmt::format("{}.directions", name)), .purpose = Purpose::kTest};
  std::array<double, 8> sums{};
  for (size_t i = 0; i < values.size(); i += 4) {
    const auto words = key.block(static_cast<uint32_t>(i / 4));
    for (size_t j = 0; j < 4 && i + j < values.size(); ++j) {
      const uint32_t bits = words[j] >> 8;
      for (size_t k = 0; k < sums.size(); ++k) sums[k] += bits >> k & 1 ? values[i + j] : -values[i + j];
    }
  }
  return sums;
}

/// How far a tensor is from another one known only by its projections: an estimate of the norm of their difference, within
/// about a third, to which every element contributes.
inline double distance(std::string_view name, std::span<const double> values, std::span<const double> projections_of_other) {
  const std::array<double, 8> own = projections(name, values);
  double sum = 0;
  for (size_t k = 0; k < own.size(); ++k) sum += (own[k] - projections_of_other[k]) * (own[k] - projections_of_other[k]);
  return std::sqrt(sum / static_cast<double>(own.size()));
}

inline void set_dropout(nn::Module& model, double p) {
  for (const auto& [path, module] : model.modules())
    if (auto* dropout = dynamic_cast<nn::Dropout*>(module)) dropout->set_p(p);
}

}  // namespace mirilla::test
