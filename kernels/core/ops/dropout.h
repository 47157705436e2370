// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/operation.h"
#include "kernels/core/philox.h"

namespace mirilla {

/// Which elements a dropout keeps: element i of the tensor is kept where to_unit(key.bits(i)) >= p, and scaled by 1 / (1 - p); a dropped
/// element becomes 0, or NaN if it was not finite. Nothing is stored; the backward pass computes the same decision again.
struct DropoutSpec {
  double p = 0.5;
  RandomKey key;
  ConstView step = {};  // (1) i64, may be absent: its low 32 bits replace key.step; read when the device runs the call
};

namespace op {

/// y = x where it is kept, see DropoutSpec. Also computes its own backward pass.                  [torch.nn.functional.dropout]
struct Dropout {
  static constexpr std::string_view kName = "dropout";
  ConstView x;
  DropoutSpec spec;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.spec.step, call.y); }
};

}  // namespace op

}  // namespace mirilla
