// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// x (A,B,C) to y (A,C,B), any dtype.
struct Transpose {
  static constexpr std::string_view kName = "transpose";
  static constexpr bool kTakesHalves = true;  // moves elements of any type
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

}  // namespace mirilla::op
