// SPDX-License-Identifier: MIT
#include "weights/facts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "weights/names.h"

namespace mirilla::weights {
namespace {

template <class T>
std::vector<double> widened(std::span<const T> values) {
  std::vector<double> wide;
  wide.reserve(values.size());
  for (const T value : values) {
    if constexpr (std::is_arithmetic_v<T>)
      wide.push_back(static_cast<double>(value));
    else
      wide.push_back(static_cast<double>(static_cast<float>(value)));
  }
  return wide;
}

std::vector<double> values_of(const Array& array) {
  switch (array.dtype()) {
    case DType::f64: return widened(array.values<double>());
    case DType::i64: return widened(array.values<int64_t>());
    default: {
      const std::vector<float> values = to_f32(array);
      return widened(std::span<const float>(values));
    }
  }
}

Difference difference(std::string ours, const Array& a, const Array& b) {
  Difference result{.ours = std::move(ours), .same_shape = a.shape() == b.shape()};
  if (!result.same_shape) return result;
  const std::vector<double> first = values_of(a), second = values_of(b);
  double of_a = 0, of_difference = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    const bool same = first[i] == second[i] || (std::isnan(first[i]) && std::isnan(second[i]));
    double apart = same ? 0 : std::abs(first[i] - second[i]);
    if (std::isnan(apart)) apart = std::numeric_limits<double>::infinity();
    result.largest = std::max(result.largest, apart);
    of_difference += apart * apart;
    if (std::isfinite(first[i])) of_a += first[i] * first[i];
  }
  result.relative = of_difference == 0 ? 0 : std::sqrt(of_difference / of_a);
  return result;
}

}  // namespace

std::vector<Facts> facts_of(const StateDict& state) {
  const std::vector<std::string> ours = model_names(state);
  std::vector<Facts> all;
  for (const auto& [name, array] : state) {
    Facts facts{.name = name, .ours = ours[all.size()], .dtype = array.dtype(), .shape = array.shape()};
    double squares = 0;
    for (const double value : values_of(array)) {
      facts.nan += std::isnan(value);
      facts.infinite += std::isinf(value);
      if (!std::isfinite(value)) continue;
      squares += value * value;
      facts.largest = std::max(facts.largest, std::abs(value));
    }
    facts.norm = std::sqrt(squares);
    all.push_back(std::move(facts));
  }
  return all;
}

bool Comparison::equal() const {
  return only_a.empty() && only_b.empty() &&
         std::all_of(both.begin(), both.end(), [](const Difference& d) { return d.same_shape && d.largest == 0; });
}

Comparison compare(const StateDict& a, const StateDict& b) {
  const std::vector<std::string> names_a = model_names(a), names_b = model_names(b);
  std::unordered_map<std::string_view, const StateDict::Entry*> in_b;
  size_t at = 0;
  for (const auto& entry : b) in_b.emplace(names_b[at++], &entry);
  Comparison result;
  at = 0;
  for (const auto& [name, array] : a) {
    const std::string& ours = names_a[at++];
    const auto found = in_b.find(ours);
    if (found == in_b.end()) {
      result.only_a.push_back(name);
    } else {
      result.both.push_back(difference(ours, array, found->second->second));
      in_b.erase(found);
    }
  }
  at = 0;
  for (const auto& [name, array] : b)
    if (in_b.contains(names_b[at++])) result.only_b.push_back(name);
  return result;
}

}  // namespace mirilla::weights
