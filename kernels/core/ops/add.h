// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// y = a + b; y may be a or b.                                                                                        [torch.add]
struct Add {
  static constexpr std::string_view kName = "add";
  ConstView a, b;
  View y;
  static auto views(auto& call) { return std::tie(call.a, call.b, call.y); }
};

/// y = a b; b like a, or one element; y may be a. From f32, y may be half where b is one element.                     [torch.mul]
struct Multiply {
  static constexpr std::string_view kName = "multiply";
  ConstView a, b;
  View y;
  static auto views(auto& call) { return std::tie(call.a, call.b, call.y); }
};

/// y = factor x; y may be x.
struct Scale {
  static constexpr std::string_view kName = "scale";
  ConstView x;
  double factor = 1;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

/// y = x + bias (C) along the last dimension; y may be x. The bias is f32 beside a half x.
struct AddBias {
  static constexpr std::string_view kName = "add_bias";
  ConstView x, bias;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.bias, call.y); }
};

}  // namespace mirilla::op
