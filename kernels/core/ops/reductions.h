// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// The sum of all elements; y (). From halves, y may be f32.                                                        [torch.sum]
struct Sum {
  static constexpr std::string_view kName = "sum";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

/// Sums over all dimensions but the last; y (C). From halves, y may be f32.
struct SumRows {
  static constexpr std::string_view kName = "sum_rows";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

/// x (N,C), y (N) i64: of equal values the first; a NaN counts as the largest, of several the first.             [torch.argmax]
struct Argmax {
  static constexpr std::string_view kName = "argmax";
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

}  // namespace mirilla::op
