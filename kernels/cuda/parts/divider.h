// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// Division by a number that the host knows, by a multiplication and a shift; a GPU's division takes about twenty instructions.
///                                                     [Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994]
struct Divider {
  int value;
  unsigned multiplier, shift;

  /// A divisor below 1 occurs only where nothing is divided, and counts as 1.
  __host__ __device__ explicit Divider(int by) : value(by < 1 ? 1 : by), shift(0) {
    while ((1u << shift) < static_cast<unsigned>(value)) ++shift;
    multiplier = static_cast<unsigned>((uint64_t{1} << 32) * ((uint64_t{1} << shift) - static_cast<unsigned>(value)) /
                                       static_cast<unsigned>(value)) +
                 1;
  }

  struct Result {
    unsigned quotient, remainder;
  };
  /// n must be below 2^31.
  __device__ __forceinline__ Result divide(unsigned n) const {
    const unsigned quotient = (__umulhi(n, multiplier) + n) >> shift;
    return {quotient, n - quotient * static_cast<unsigned>(value)};
  }
};

}  // namespace mirilla::MIRILLA_PLATFORM
