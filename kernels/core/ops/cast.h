// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// Every element of y becomes `value`; any dtype.                                                                   [torch.full]
struct Fill {
  static constexpr std::string_view kName = "fill";
  static constexpr bool kTakesHalves = true;
  View y;
  double value = 0;
  static auto views(auto& call) { return std::tie(call.y); }
};

/// y = x in y's dtype, any to any. Float to float rounds to nearest even; float to integer truncates towards zero and stops at the ends of
/// the range (undefined in PyTorch), NaN gives 0; i64 to u8 keeps the low 8 bits.                              [torch.Tensor.to]
struct Cast {
  static constexpr std::string_view kName = "cast";
  static constexpr bool kTakesHalves = true;
  ConstView x;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

}  // namespace mirilla::op
