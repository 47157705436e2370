// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// Whether n elements can be counted in 32 bits, which divide faster than 64. MIRILLA_CUDA_INDEX_BITS=64 in the environment says no
/// to every n, so that tests reach the kernels for more than 2^31 elements without the 8 GB that these take.
inline bool counts_in_32_bits(int64_t n) {
  static const bool never = [] {
    const char* const bits = std::getenv("MIRILLA_CUDA_INDEX_BITS");
    return bits && std::string_view(bits) == "64";
  }();
  return !never && n <= std::numeric_limits<int32_t>::max();
}

}  // namespace mirilla::MIRILLA_PLATFORM
