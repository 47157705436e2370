// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Options that take a number, and options that take one of some words: every such option of every command is made here, because what CLI11
/// reads can differ from what was written (-1 becomes 2^64-1, 010 is 8, 1e999 is infinity).
namespace mirilla::apps {

/// The range of a number option: from `least` to `most`, both included.
template <class T>
struct Bounds {
  T least;
  T most;
  std::string_view words = {};  // in the sentence instead of "a number from 0 to 1"
};

inline constexpr Bounds<int> kEpochs{1, 1'000'000};
inline constexpr Bounds<int> kResizePixels{1, 8192};
inline constexpr Bounds<int> kSizePixels{32, 4096};
inline constexpr Bounds<int64_t> kBatch{1, 1 << 20};
inline constexpr Bounds<int64_t> kPicturesPerClass{0, 1'000'000'000};
inline constexpr Bounds<int64_t> kSamples{1, 100'000};
inline constexpr Bounds<uint64_t> kSeed{0, UINT64_MAX};
/// For a learning rate; above the upper end f32 weights become infinite after a step or two.
inline constexpr Bounds<double> kRate{1e-30, 1e30, "a rate above 0 and up to 1e30"};
/// Below 1: something has to be left to train on.
inline constexpr Bounds<double> kValidationShare{0, 0.9999999999, "a share from 0 to below 1"};

/// Reads all of `text` as one number in decimal notation: digits with a minus sign before them, for a double also a point and an exponent.
/// No blanks, no plus, no hexadecimal, no letters after it, no "1e3" for a whole number, and neither nan nor inf. Throws UsageError that
/// says what `option` accepts and what was given.
template <class T>
T parse_number(std::string_view option, const std::string& text, const Bounds<T>& bounds);

/// Adds an option that takes such a number; --help shows its current value. T is int, int64_t, uint64_t or double.
template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& option, T& value, const Bounds<T>& bounds, const std::string& description) {
  const auto take = [&value, option, bounds](const std::string& text) { value = parse_number(option, text, bounds); };
  return command.add_option_function<std::string>(option, take, description)->default_str(fmt::format("{}", value))->type_name("N");
}
/// The same for one that stays empty if it is not given.
template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& option, std::optional<T>& value, const Bounds<T>& bounds,
                        const std::string& description) {
  const auto take = [&value, option, bounds](const std::string& text) { value = parse_number(option, text, bounds); };
  return command.add_option_function<std::string>(option, take, description)->type_name("N");
}

/// A check for options that take one of a few words, which --help lists.
CLI::Validator one_of(const std::vector<std::string>& words);

}  // namespace mirilla::apps
