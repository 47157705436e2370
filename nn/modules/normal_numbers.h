// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/core/philox.h"

namespace mirilla::nn {

/// n numbers from the normal distribution with mean 0 and this standard deviation. Box and Muller's method on the words w0, w1 of
/// key.block(i) gives the numbers 2 i and 2 i + 1,
///
///   r = std sqrt(-2 ln((w0 + 1/2) / 2^32)),  a = 2 pi w1 / 2^32;   r cos a,  r sin a
std::vector<double> normal_numbers(size_t n, double std, RandomKey key);

}  // namespace mirilla::nn
