// SPDX-License-Identifier: MIT
#include "weights/flaws.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>

#include "weights/file_bytes.h"

namespace mirilla::weights {
namespace {

constexpr std::string_view kVariance = "running_var";
constexpr size_t kMostNames = 3;  // shown in a message

// Whether a value is NaN or infinite, or negative where that is wrong: one pass without a branch, which the compiler vectorises.
bool any_wrong(std::span<const float> values, bool variance) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t wrong = 0;
  for (const float value : values) wrong |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & kExponent) == kExponent);
  if (wrong == 0 && variance)
    for (const float value : values) wrong |= static_cast<uint32_t>(value < 0);
  return wrong != 0;
}

template <class T>
double widened(T value) {
  if constexpr (std::same_as<T, double>)
    return value;
  else
    return static_cast<float>(value);
}

template <class T>
Flaw count(std::span<const T> values, bool variance, DType dtype) {
  Flaw flaw{.name = {}, .values = static_cast<int64_t>(values.size())};
  for (const T stored : values) {
    const double value = widened(stored);
    if (std::isnan(value))
      ++flaw.nan;
    else if (std::isinf(value))
      ++flaw.infinite;
    else if (dtype != DType::f64 && std::isinf(static_cast<float>(value)))
      ++flaw.too_large;
    else if (variance && value < 0)
      ++flaw.negative;
  }
  return flaw;
}

// "7 of 36864 values are infinite, 2 are NaN"
std::string counts(const Flaw& flaw) {
  std::string text;
  const auto add = [&](int64_t n, std::string_view kind) {
    if (n == 0) return;
    text += text.empty() ? fmt::format("{} of {} values {} {}", n, flaw.values, n == 1 ? "is" : "are", kind)
                         : fmt::format(", {} {} {}", n, n == 1 ? "is" : "are", kind);
  };
  add(flaw.nan, "NaN");
  add(flaw.infinite, "infinite");
  add(flaw.too_large, "too large for the model's numbers");
  add(flaw.negative, "negative");
  return text;
}

}  // namespace

std::optional<Flaw> flaw_of(std::string_view name, const Array& array, DType dtype) {
  if (array.dtype() == DType::u8 || array.dtype() == DType::i64) return std::nullopt;
  const bool variance = name.ends_with(kVariance);
  if (array.dtype() == DType::f32 && !any_wrong(array.values<float>(), variance)) return std::nullopt;
  Flaw flaw = dispatch_any(array.dtype(), [&]<class T>() { return count(array.values<T>(), variance, dtype); });
  if (flaw.nan + flaw.infinite + flaw.too_large + flaw.negative == 0) return std::nullopt;
  flaw.name = name;
  return flaw;
}

std::vector<Flaw> flaws_of(const Report& report, const StateDict& state, DType dtype) {
  std::vector<Flaw> flaws;
  for (const Matched& matched : report.matched)
    if (auto flaw = flaw_of(matched.name, state.at(matched.source), dtype)) {
      flaw->name = matched.source;
      flaws.push_back(std::move(*flaw));
    }
  return flaws;
}

std::string describe(std::span<const Flaw> flaws) {
  std::string text;
  const size_t named = std::min(flaws.size(), kMostNames);
  for (size_t i = 0; i < named; ++i) text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", flaws[i].name, counts(flaws[i]));
  if (flaws.size() > named) text += fmt::format(", and {} more tensor{}", flaws.size() - named, flaws.size() - named == 1 ? "" : "s");
  return text;
}

FlawedWeights::FlawedWeights(std::string_view origin, std::vector<Flaw> found)
    : WeightsError(fmt::format("{} contains weights that no network can compute with: {}", shown(origin), describe(found)),
                   "the file is damaged, or its training diverged: use an earlier one"),
      flaws(std::move(found)) {}

}  // namespace mirilla::weights
