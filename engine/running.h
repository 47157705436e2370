// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/tensor.h"

/// Which module runs on this thread, for a profiler's timeline and for the check mode. The engine knows modules by their names alone, and
/// makes none where nobody wants them.
namespace mirilla::running {

/// Whether every output and every gradient is waited for and looked at as soon as it is written, and the first number that is not finite
/// ends the work with its writer's name: MIRILLA_CHECK=1 in the environment, on any device, or an AsItRuns on this thread. Slow, and
/// nothing is looked at while a replay records.
bool checking();
/// In place of the environment. For tests.
void set_checking(bool on);

/// The check mode on this thread alone, while this lives, of the very operations that run without it: a batch norm that is folded into its
/// convolution stays so, and only where the two give a number that is not finite is each run apart to say which of them it was. For a work
/// that came out wrong and is done again to learn why.
class AsItRuns {
 public:
  AsItRuns();
  ~AsItRuns();
  AsItRuns(const AsItRuns&) = delete;
  AsItRuns& operator=(const AsItRuns&) = delete;

  /// Whether one lives on this thread.
  static bool on();
};

/// Whether names are worth making: the check mode, or a profiler that looks at this device.
bool names_wanted(const Device& device);

/// A module at work on this thread, while it lives: a range of that name on the device.
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

/// The innermost; none outside any.
const std::shared_ptr<const std::string>& name();

/// The first element that is not finite, in memory's order. Waits. None in integers.
std::optional<int64_t> first_not_finite(const Tensor& tensor);

/// What the check mode found.
struct FirstNotFinite : Error {
  FirstNotFinite(std::string_view message, std::string_view hint, std::string_view who, bool is_nan);

  std::string who;  // "layer1.0.conv1", "the backward of conv2d in layer1.0.conv1", "the input of ResNet"
  bool is_nan;      // otherwise an infinity
};

/// Throws FirstNotFinite where `written` has a number that is not finite: "layer1.0.conv1 wrote the first NaN (forward): element (0,3,4,7)
/// of f32 (2,16,16,64) on cpu". `who` and `what` are the beginning, "wrote the first {} (forward)" with a place for "NaN" or "infinity".
void check_finite(const Tensor& written, std::string_view who, std::string_view what, std::string_view hint = {});

}  // namespace mirilla::running
