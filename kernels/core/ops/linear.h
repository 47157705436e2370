// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"

namespace mirilla {

/// y = op(a) op(b), op transposes where the spec asks for it.
struct MatmulSpec {
  bool transpose_a = false;
  bool transpose_b = false;
};

namespace op {

/// y (M,N) = op(a) op(b), matrices. From halves, y may be f32.                                                   [torch.matmul]
struct Matmul {
  static constexpr std::string_view kName = "matmul";
  ConstView a, b;
  MatmulSpec spec;
  View y;
  static auto views(auto& call) { return std::tie(call.a, call.b, call.y); }
};

}  // namespace op

}  // namespace mirilla
