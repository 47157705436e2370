// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/tensor.h"

namespace mirilla::nn {

/// What to explain for a picture: the score  s = sum over the terms of weight * logit[index].
///
///   {}                        the likeliest class of the picture
///   {{{2}}}                   class 2
///   {{{2}, {5}}}              classes 2 and 5 together
///   {{{2, 1}, {5, -1}}}       evidence for 2 rather than for 5
struct Target {
  struct Term {
    int index = 0;
    double weight = 1;
    bool operator==(const Term&) const = default;
  };
  std::vector<Term> terms = {};
  bool operator==(const Target&) const = default;
};

/// The score of one picture's logits.
double score_of(const Target& target, std::span<const double> logits);

/// One target per picture, none of them empty: `wanted` has one for each, or one for all, or is empty (the likeliest class of each).
///
///   logits  (pictures, classes), row-major
///
/// Throws UsageError where the counts do not fit, or for a class that the model does not have.
std::vector<Target> targets_of(std::span<const Target> wanted, std::span<const double> logits, int64_t pictures);

/// d (sum of all scores) / d logits, like logits (pictures, classes): one backward pass from it serves a whole batch, since pictures are
/// independent in evaluation.
Tensor seed_of(std::span<const Target> targets, const Tensor& logits);

}  // namespace mirilla::nn
