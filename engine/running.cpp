// SPDX-License-Identifier: MIT
#include "engine/running.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>

namespace mirilla::running {

namespace {

std::atomic<bool>& check_mode() {
  static std::atomic<bool> on = [] {
    const char* const value = std::getenv("MIRILLA_CHECK");
    return value && *value && std::string_view(value) != "0";
  }();
  return on;
}

thread_local std::shared_ptr<const std::string> innermost;
thread_local int as_it_runs = 0;  // how many AsItRuns live

// "(0,3,4,7)" the place of element number `at`.
std::string place_in(const Shape& shape, int64_t at) {
  std::string text;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    text = fmt::format("{}{}{}", at % shape[d], text.empty() ? "" : ",", text);
    at /= shape[d];
  }
  return "(" + text + ")";
}

}  // namespace

bool checking() { return as_it_runs > 0 || check_mode().load(std::memory_order_relaxed); }
void set_checking(bool on) { check_mode() = on; }

AsItRuns::AsItRuns() { ++as_it_runs; }
AsItRuns::~AsItRuns() { --as_it_runs; }
bool AsItRuns::on() { return as_it_runs > 0; }

FirstNotFinite::FirstNotFinite(std::string_view message, std::string_view hint, std::string_view writer, bool nan)
    : Error(message, hint), who(writer), is_nan(nan) {}

bool names_wanted(const Device& device) { return checking() || device.wants_ranges(); }

Scope::Scope(Device& device, std::string name) : device_(device), outer_(std::move(innermost)) {
  innermost = std::make_shared<const std::string>(std::move(name));
  device_.push_range(*innermost);
}

Scope::~Scope() {
  device_.pop_range();
  innermost = std::move(outer_);
}

const std::shared_ptr<const std::string>& name() { return innermost; }

std::optional<int64_t> first_not_finite(const Tensor& tensor) {
  if (tensor.dtype() == DType::u8 || tensor.dtype() == DType::i64) return std::nullopt;
  const std::vector<double> values = tensor.to_doubles();
  const auto found = std::find_if_not(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
  return found == values.end() ? std::nullopt : std::optional<int64_t>(found - values.begin());
}

void check_finite(const Tensor& written, std::string_view who, std::string_view what, std::string_view hint) {
  if (!written || written.device().recording()) return;
  const auto at = first_not_finite(written);
  if (!at) return;
  const bool is_nan = std::isnan(written.to_doubles()[static_cast<size_t>(*at)]);
  throw FirstNotFinite(fmt::format("{} {}: element {} of {}", who, fmt::format(fmt::runtime(what), is_nan ? "NaN" : "infinity"),
                                   place_in(written.shape(), *at), describe(written)),
                       hint, who, is_nan);
}

}  // namespace mirilla::running
