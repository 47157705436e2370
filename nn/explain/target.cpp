// SPDX-License-Identifier: MIT
#include "nn/explain/target.h"

#include <fmt/format.h>

#include <algorithm>

namespace mirilla::nn {

namespace {

void check_classes(const Target& target, int64_t classes) {
  for (const Target::Term& term : target.terms)
    if (term.index < 0 || term.index >= classes)
      throw UsageError(fmt::format("expected a class from 0 to {}, got {}", classes - 1, term.index));
}

}  // namespace

double score_of(const Target& target, std::span<const double> logits) {
  double score = 0;
  for (const Target::Term& term : target.terms) score += term.weight * logits[static_cast<size_t>(term.index)];
  return score;
}

std::vector<Target> targets_of(std::span<const Target> wanted, std::span<const double> logits, int64_t pictures) {
  const auto n = static_cast<size_t>(pictures);
  if (wanted.size() > 1 && wanted.size() != n)
    throw UsageError(fmt::format("{} pictures: expected one target for each, or one for all, got {}", pictures, wanted.size()));
  const size_t classes = logits.size() / n;
  std::vector<Target> targets;
  for (size_t i = 0; i < n; ++i) {
    Target target = wanted.empty() ? Target{} : wanted[wanted.size() == 1 ? 0 : i];
    const auto row = logits.subspan(i * classes, classes);
    if (target.terms.empty()) target.terms = {{static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin())}};
    check_classes(target, static_cast<int64_t>(classes));
    targets.push_back(std::move(target));
  }
  return targets;
}

Tensor seed_of(std::span<const Target> targets, const Tensor& logits) {
  std::vector<double> seed(static_cast<size_t>(logits.numel()), 0.0);
  const auto classes = static_cast<size_t>(logits.size(1));
  for (size_t i = 0; i < targets.size(); ++i)
    for (const Target::Term& term : targets[i].terms) seed[i * classes + static_cast<size_t>(term.index)] += term.weight;
  return from_doubles(seed, logits.shape(), logits.dtype(), logits.device());
}

}  // namespace mirilla::nn
