// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "kernels/cuda/platform/platform.h"

/// Who wins a maximum, everywhere in this folder: the larger value, a NaN counting as the largest; of equals the first.
namespace mirilla::MIRILLA_PLATFORM {

__device__ __forceinline__ bool beats(float a, float b) { return a > b || (a != a && b == b); }

/// A value and where it stands. As it is made it loses to every other.
template <class Place>
struct Candidate {
  float value = -std::numeric_limits<float>::infinity();
  Place place = std::numeric_limits<Place>::max();

  __device__ __forceinline__ void meet(float other, Place at) {
    if (beats(other, value) || (at < place && !beats(value, other))) {
      value = other;
      place = at;
    }
  }
};

}  // namespace mirilla::MIRILLA_PLATFORM
