// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/core/error.h"
#include "weights/match.h"
#include "weights/state_dict.h"

/// Values with which no network computes anything right. They come from a training run that diverged, or from a damaged file.
namespace mirilla::weights {

/// What is wrong with one tensor: how many of its values are of each kind.
struct Flaw {
  std::string name;
  int64_t values = 0;  // in total
  int64_t nan = 0;
  int64_t infinite = 0;
  int64_t too_large = 0;  // finite as stored, infinite in the model's dtype: 1e300 in an f64 file
  int64_t negative = 0;   // in a running variance, which is never negative; a zero of either sign is allowed
};

/// Empty if every value is finite after rounding to `dtype` (f32, or f64 for a model in double) and, for a name that ends in
/// running_var, none is below 0. Integers are always finite, and counters (num_batches_tracked) are not used in computations.
std::optional<Flaw> flaw_of(std::string_view name, const Array& array, DType dtype = DType::f32);

/// The flaws of the tensors that a model takes from a file, under the file's names.
std::vector<Flaw> flaws_of(const Report& report, const StateDict& state, DType dtype = DType::f32);

/// "bn1.running_var (1 of 64 values is NaN), layer1.0.conv1.weight (7 of 36864 are infinite, 2 are NaN), and 4 more tensors"
std::string describe(std::span<const Flaw> flaws);

/// A file whose weights have flaws.
struct FlawedWeights : WeightsError {
  FlawedWeights(std::string_view origin, std::vector<Flaw> flaws);

  std::vector<Flaw> flaws;
};

}  // namespace mirilla::weights
