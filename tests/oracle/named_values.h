// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/philox.h"
#include "kernels/shape.h"
#include "nn/resnet.h"

namespace mirilla::test {

/// The numbers that the scripts beside this file and the tests both make from a tensor's name, so that no file has to hold a network.
/// make_resnet.py states the formulas, oracle_file.py has the twin.
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

/// A parameter or buffer of a ResNet, in Mirilla's layout.
inline std::vector<float> values_for(const std::string& name, const Shape& shape) {
  std::vector<float> values;
  const double fan_in = shape.rank() > 1 ? static_cast<double>(shape.numel() / shape[0]) : 1;
  const double shift = name.ends_with("weight") ? 1 : 0;
  for (const double u : units(name, shape.numel())) {
    if (shape.rank() > 1)
      values.push_back(static_cast<float>(std::sqrt(3 / fan_in) * (2 * u - 1)));
    else if (name.ends_with("running_var"))
      values.push_back(static_cast<float>(1 + 0.5 * u));
    else
      values.push_back(static_cast<float>(0.1 * (2 * u - 1) + shift));
  }
  return values;
}

/// Gives every parameter and buffer of a model its named values.
inline void fill_by_name(nn::Module& model) {
  for (const auto& all : {model.parameters(), model.buffers()})
    for (nn::NamedTensor named : all)
      named.tensor.copy_from(from_host(values_for(named.name, named.tensor.shape()), named.tensor.shape(), named.tensor.device()));
}

inline void set_dropout(nn::Module& model, double p) {
  for (const auto& [path, module] : model.modules())
    if (auto* dropout = dynamic_cast<nn::Dropout*>(module)) dropout->set_p(p);
}

}  // namespace mirilla::test
