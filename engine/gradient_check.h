// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "engine/tensor.h"

namespace mirilla {

struct GradientCheckOptions {
  double step = 1e-5;       // of the central differences
  double tolerance = 1e-7;  // of a difference, relative to the gradient, or absolute where that is below 1
  int64_t elements = 64;    // of each input that are looked at, evenly over it; all where it has fewer
  uint32_t seed = 1;        // of what flows back
};

/// The element whose two gradients lie furthest apart.
struct GradientCheck {
  size_t input = 0;
  int64_t element = 0;
  double recorded = 0;  // what the operator's backward says
  double numeric = 0;   // what central differences say
  double error = 0;     // |recorded - numeric| / max(1, |recorded|)
  bool good = true;     // error is within the tolerance
  /// "input 1, element 7: backward says 0.5 and central differences say 0.25", or "no gradient came back to input 0".
  std::string text = {};
};

/// Compares the backward of an operator with central differences of its forward: for random numbers s like y = f(inputs), the gradients of
/// sum(s y) with respect to each input.
///
///   f       any composition of operators; called often, so it gives the same each time
///   inputs  f64 on the device "reference", where rounding is too small to hide a mistake; away from kinks and ties, by more than the step
///
/// Waits for the device. Throws Error for inputs of another dtype.                                             [torch.autograd.gradcheck]
GradientCheck check_gradient(const std::function<Tensor(std::span<const Tensor> inputs)>& f, std::span<const Tensor> inputs,
                             const GradientCheckOptions& options = {});

}  // namespace mirilla
