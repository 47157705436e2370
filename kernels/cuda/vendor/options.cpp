// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/options.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {

namespace {

std::string_view from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

[[noreturn]] void not_understood(std::string_view name, std::string_view value, std::string_view wanted) {
  throw UsageError(fmt::format("{} is '{}' and should be {}", name, value, wanted));
}

size_t read_bytes(std::string_view name, std::string_view value) {
  constexpr std::string_view kWanted = "a number of bytes such as 1073741824, 512M or 1G";
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const std::string_view unit(end, static_cast<size_t>(value.data() + value.size() - end));
  const size_t power = unit.empty() ? 0 : std::string_view("KMG").find(unit[0]);
  if (error != std::errc() || unit.size() > 1 || power == std::string_view::npos) not_understood(name, value, kWanted);
  const unsigned shift = unit.empty() ? 0 : 10 * (static_cast<unsigned>(power) + 1);
  if (number > std::numeric_limits<size_t>::max() >> shift) not_understood(name, value, kWanted);
  return static_cast<size_t>(number) << shift;
}

bool read_switch(const char* name, bool otherwise) {
  const std::string_view value = from_environment(name);
  if (value.empty()) return otherwise;
  if (value != "0" && value != "1") not_understood(name, value, "0 or 1");
  return value == "1";
}

Options& current() {
  static Options options = options_from_environment();
  return options;
}

}  // namespace

Options options_from_environment() {
  Options options;
  if (const std::string_view value = from_environment("MIRILLA_VENDOR"); !value.empty() && value != "on") {
    if (value != "off" && value != "cudnn" && value != "cublaslt") not_understood("MIRILLA_VENDOR", value, "on, off, cudnn or cublaslt");
    options.cudnn = value == "cudnn";
    options.cublaslt = value == "cublaslt";
  }
  if (const std::string_view value = from_environment("MIRILLA_WORKSPACE"); !value.empty())
    options.workspace_bytes = read_bytes("MIRILLA_WORKSPACE", value);
  options.deterministic = read_switch("MIRILLA_DETERMINISTIC", options.deterministic);
  options.tf32 = read_switch("MIRILLA_TF32", options.tf32);
  return options;
}

const Options& options() { return current(); }
void set_options(const Options& wanted) { current() = wanted; }

}  // namespace mirilla::cuda::vendor
