// SPDX-License-Identifier: MIT
#include "apps/numbers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "kernels/core/error.h"

namespace mirilla::apps {

namespace {

template <class T>
std::optional<T> read(const std::string& text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(value)) return std::nullopt;
  return value;
}

template <class T>
std::string wanted(const Bounds<T>& bounds) {
  if (!bounds.words.empty()) return std::string(bounds.words);
  return fmt::format("{} from {} to {}", std::is_integral_v<T> ? "a whole number" : "a number", bounds.least, bounds.most);
}

}  // namespace

template <class T>
T parse_number(std::string_view option, const std::string& text, const Bounds<T>& bounds) {
  const std::optional<T> value = read<T>(text);
  if (value && *value >= bounds.least && *value <= bounds.most) return *value;
  throw UsageError(fmt::format("{}: expected {}, got '{}'", option, wanted(bounds), text));
}

template int parse_number(std::string_view, const std::string&, const Bounds<int>&);
template int64_t parse_number(std::string_view, const std::string&, const Bounds<int64_t>&);
template uint64_t parse_number(std::string_view, const std::string&, const Bounds<uint64_t>&);
template double parse_number(std::string_view, const std::string&, const Bounds<double>&);

CLI::Validator one_of(const std::vector<std::string>& words) {
  return {[words](const std::string& text) {
            if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
            return fmt::format("expected {}{}, got '{}'", words.size() > 1 ? "one of " : "", fmt::join(words, ", "), text);
          },
          fmt::format("{{{}}}", fmt::join(words, ","))};
}

}  // namespace mirilla::apps
