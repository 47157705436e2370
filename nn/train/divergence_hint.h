// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include "nn/train/recorder.h"

namespace mirilla::nn {

inline constexpr std::string_view kSmallerRate = "use a smaller learning rate: `lr`";

/// What to do about a training that diverged. The rate is not the cause if the weights were not finite before the first step, or if the
/// first loss, which precedes any change of a weight, was not finite.
inline std::string divergence_hint(const Recorder& recorder, bool began_finite = true) {
  if (!began_finite) return "the weights were not finite before training began: use other weights";
  if (recorder.known_steps() > 0 && !std::isfinite(recorder.steps().front().loss))
    return "the first loss was not finite, before any step: use other weights";
  return std::string(kSmallerRate);
}

}  // namespace mirilla::nn
