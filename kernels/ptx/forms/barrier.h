// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

namespace mirilla::ptx {

/// The operands of a bar or barrier instruction.
struct BarrierCall {
  u32 number = 0;
  u32 threads = 0;  // 0: all of the block
  bool aligned = true;
  bool waits = true;  // false for .arrive
  bool reduces = false;
  u32 predicate = 0;  // one bit per lane
};
BarrierCall read_barrier(const Warp& warp, const Instruction& i);
/// Writes the result of bar.red to the lanes.
void finish_barrier(Warp& warp, const Instruction& i, u32 lanes, const BarrierState& barrier);

/// Performs all pending cp.async copies of these lanes.
void finish_late_copies(Warp& warp, u32 lanes);

}  // namespace mirilla::ptx
