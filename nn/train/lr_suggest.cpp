// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/error.h"
#include "nn/train/lr_find.h"

namespace mirilla::nn {

namespace {

// fastai's curves are tensors of f32, so rates print the same and ties are decided the same.
struct Curve {
  std::vector<float> lrs, losses;

  Curve(std::span<const double> lrs_in, std::span<const double> losses_in) {
    if (lrs_in.size() != losses_in.size())
      throw ShapeError(fmt::format("a curve of rates: got {} rates with {} losses", lrs_in.size(), losses_in.size()));
    for (const double lr : lrs_in) lrs.push_back(static_cast<float>(lr));
    for (const double loss : losses_in) losses.push_back(static_cast<float>(loss));
  }
  size_t size() const { return lrs.size(); }
  LrSuggestion suggestion(std::string_view rule, size_t index) const {
    return {.rule = std::string(rule), .lr = lrs[index], .at_lr = lrs[index], .at_loss = losses[index]};
  }
};

LrSuggestion none(std::string_view rule) { return {.rule = std::string(rule), .lr = std::nullopt}; }

// numpy.gradient for f32 values at unit distance.
std::vector<float> gradient_of(const std::vector<float>& values) {
  const size_t n = values.size();
  std::vector<float> slopes(n);
  for (size_t i = 1; i + 1 < n; ++i) slopes[i] = (values[i + 1] - values[i - 1]) / 2;
  slopes[0] = values[1] - values[0];
  slopes[n - 1] = values[n - 1] - values[n - 2];
  return slopes;
}

// numpy.interp of the curve over log10 of the increasing rates.
double loss_at(const Curve& curve, double lr) {
  const double x = std::log10(lr);
  const auto x_of = [&](size_t i) { return static_cast<double>(std::log10(curve.lrs[i])); };
  if (x <= x_of(0)) return curve.losses.front();
  for (size_t i = 1; i < curve.size(); ++i)
    if (x <= x_of(i)) {
      const double share = (x - x_of(i - 1)) / (x_of(i) - x_of(i - 1));
      return curve.losses[i - 1] + share * (static_cast<double>(curve.losses[i]) - curve.losses[i - 1]);
    }
  return curve.losses.back();
}

using Rule = LrSuggestion (*)(std::span<const double>, std::span<const double>);
constexpr std::array<std::string_view, 4> kRules{"valley", "slide", "minimum", "steep"};

Rule rule_of(std::string_view name) {
  constexpr std::array<Rule, 4> functions{valley, slide, minimum, steep};
  const auto found = std::find(kRules.begin(), kRules.end(), name);
  if (found == kRules.end())
    throw UsageError(fmt::format("there is no rule '{}' that suggests a rate", name), "available are valley, slide, minimum and steep");
  return functions[static_cast<size_t>(found - kRules.begin())];
}

}  // namespace

LrSuggestion valley(std::span<const double> lrs, std::span<const double> losses) {
  const Curve curve(lrs, losses);
  const size_t n = curve.size();
  if (n == 0) return none("valley");
  std::vector<int> length(n, 1);  // of the longest decreasing subsequence that ends here
  size_t end = 0;
  for (size_t i = 1; i < n; ++i) {
    for (size_t j = 0; j < i; ++j)
      if (curve.losses[i] < curve.losses[j]) length[i] = std::max(length[i], length[j] + 1);
    if (length[i] > length[end]) end = i;
  }
  if (length[end] == 1) return curve.suggestion("valley", 0);
  const int start = static_cast<int>(end) - length[end];
  const double third = length[end] / 3.0;
  const int index = start + static_cast<int>(third) + static_cast<int>(third / 2);
  return curve.suggestion("valley", index < 0 ? n - 1 : static_cast<size_t>(index));
}

LrSuggestion slide(std::span<const double> lrs, std::span<const double> losses) {
  constexpr size_t kApart = 15;
  constexpr double kEqual = 0.005;
  const Curve curve(lrs, losses);
  if (curve.size() <= kApart) return none("slide");
  const std::vector<float> slopes = gradient_of(curve.losses);
  size_t right = curve.size() - 1, chosen = right - kApart;
  for (size_t left = right - kApart; std::abs(slopes[right] - slopes[left]) > kEqual; --left, --right) {
    chosen = left;
    if (left == 0) break;
  }
  const double lr = curve.lrs[chosen];
  return {.rule = "slide", .lr = lr, .at_lr = lr, .at_loss = loss_at(curve, lr)};
}

LrSuggestion minimum(std::span<const double> lrs, std::span<const double> losses) {
  const Curve curve(lrs, losses);
  if (curve.size() == 0) return none("minimum");
  const auto least = std::min_element(curve.losses.begin(), curve.losses.end());
  LrSuggestion suggestion = curve.suggestion("minimum", static_cast<size_t>(least - curve.losses.begin()));
  suggestion.lr = suggestion.at_lr / 10;
  return suggestion;
}

LrSuggestion steep(std::span<const double> lrs, std::span<const double> losses) {
  const Curve curve(lrs, losses);
  if (curve.size() < 2) return none("steep");
  std::vector<float> slopes;
  for (size_t i = 0; i + 1 < curve.size(); ++i)
    slopes.push_back((curve.losses[i + 1] - curve.losses[i]) / (std::log(curve.lrs[i + 1]) - std::log(curve.lrs[i])));
  return curve.suggestion("steep", static_cast<size_t>(std::min_element(slopes.begin(), slopes.end()) - slopes.begin()));
}

std::span<const std::string_view> lr_rules() { return kRules; }

std::vector<LrSuggestion> suggest(const LrFindResult& result, int iterations, std::span<const std::string> rules) {
  constexpr size_t kSkippedAtEnd = 5;
  const size_t n = result.losses.size();
  const size_t first = std::min(static_cast<size_t>(iterations / 10), n);
  size_t last = n - std::min(kSkippedAtEnd, n - first);
  for (size_t i = first; i < last; ++i)
    if (std::isnan(result.losses[i])) last = i;
  const auto lrs = std::span(result.lrs).subspan(first, last - first), losses = std::span(result.losses).subspan(first, last - first);
  std::vector<LrSuggestion> suggestions;
  for (const std::string& rule : rules) suggestions.push_back(rule_of(rule)(lrs, losses));
  return suggestions;
}

}  // namespace mirilla::nn
