// SPDX-License-Identifier: MIT
#include "nn/modules/normal_numbers.h"

#include <cmath>
#include <numbers>

namespace mirilla::nn {

std::vector<double> normal_numbers(size_t n, double std, RandomKey key) {
  std::vector<double> values(n);
  for (size_t i = 0; i < n; i += 2) {
    const auto words = key.block(static_cast<uint32_t>(i / 2));
    const double u = (words[0] + 0.5) * 0x1p-32;
    const double angle = 2 * std::numbers::pi * words[1] * 0x1p-32;
    const double radius = std * std::sqrt(-2 * std::log(u));
    values[i] = radius * std::cos(angle);
    if (i + 1 < n) values[i + 1] = radius * std::sin(angle);
  }
  return values;
}

}  // namespace mirilla::nn
