// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "kernels/cuda/platform/platform.h"

/// Who wins a maximum, everywhere in this folder: the larger value, a NaN counting as the largest; of equals the first. Of several NaN the
/// last wins a pool and the first an argmax, as in PyTorch.
namespace mirilla::MIRILLA_PLATFORM {

enum class OfNans { first, last };

/// A value and its place. In its initial state it loses to every other.
template <class Place, OfNans kNans>
struct Candidate {
  float value = -std::numeric_limits<float>::infinity();
  Place place = std::numeric_limits<Place>::max();

  __device__ __forceinline__ void meet(float other, Place at) {
    const bool before = at < place, nan = other != other;
    if (other > value || (other == value && before) || (nan && (value == value || (kNans == OfNans::first ? before : !before)))) {
      value = other;
      place = at;
    }
  }
};

}  // namespace mirilla::MIRILLA_PLATFORM
