// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/tensor.h"

/// Which module runs on this thread, for a profiler's timeline and for the check mode. The engine knows modules only by name, and
/// makes no names if nothing needs them.
namespace mirilla::running {

/// Whether every output and every gradient is checked as soon as it is written (which waits for it), and the first number that is not
/// finite throws an error that names its writer: MIRILLA_CHECK=1 in the environment, on any device, or an AsItRuns on this thread. Slow,
/// and nothing is checked while a replay records.
bool checking();
/// Overrides the environment. For tests.
void set_checking(bool on);

/// Turns on the check mode on this thread while it lives, for exactly the operations that run without it: a batch norm that is folded into
/// its convolution stays folded, and only if the two give a number that is not finite, each runs separately to find which of them it was.
/// For work that failed and is repeated to find the reason.
class AsItRuns {
 public:
  AsItRuns();
  ~AsItRuns();
  AsItRuns(const AsItRuns&) = delete;
  AsItRuns& operator=(const AsItRuns&) = delete;

  /// Whether one lives on this thread.
  static bool on();
};

/// Whether names are needed: in the check mode, or if a profiler watches this device.
bool names_wanted(const Device& device);

/// A module that runs on this thread, while it lives: a range of that name on the device.
class Scope {
 public:
  Scope(Device& device, std::string name);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Device& device_;
  std::shared_ptr<const std::string> outer_;
};

/// The name of the innermost module; null outside any.
const std::shared_ptr<const std::string>& name();

/// The first element that is not finite, in memory order. Waits. Empty for integers.
std::optional<int64_t> first_not_finite(const Tensor& tensor);

/// The error of the check mode.
struct FirstNotFinite : Error {
  FirstNotFinite(std::string_view message, std::string_view hint, std::string_view who, bool is_nan);

  std::string who;  // "layer1.0.conv1", "the backward of conv2d in layer1.0.conv1", "the input of ResNet"
  bool is_nan;      // else an infinity
};

/// Throws FirstNotFinite if `written` contains a number that is not finite: "layer1.0.conv1 wrote the first NaN (forward): element
/// (0,3,4,7) of f32 (2,16,16,64) on cpu". `who` and `what` form its beginning; `what` is "wrote the first {} (forward)", with {} for "NaN"
/// or "infinity".
void check_finite(const Tensor& written, std::string_view who, std::string_view what, std::string_view hint = {});

}  // namespace mirilla::running
