// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla::op {

/// y (..., A + B) = a (..., A) beside b (..., B).                                                                   [torch.cat]
struct Concat {
  static constexpr std::string_view kName = "concat";
  ConstView a, b;
  View y;
  static auto views(auto& call) { return std::tie(call.a, call.b, call.y); }
};

/// The inverse of Concat; each of a and b may be absent.
struct Split {
  static constexpr std::string_view kName = "split";
  ConstView y;
  View a, b;
  static auto views(auto& call) { return std::tie(call.y, call.a, call.b); }
};

}  // namespace mirilla::op
