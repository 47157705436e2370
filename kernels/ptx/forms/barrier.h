// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

namespace mirilla::ptx {

/// The operands of a bar or barrier instruction.
struct BarrierCall {
  u32 number = 0;
  u32 threads = 0;  // 0: all of the block
  bool aligned = true;
  bool waits = true;  // not .arrive
  bool reduces = false;
  u32 predicate = 0;  // a bit per lane
};
BarrierCall read_barrier(const Warp& warp, const Instruction& i);
/// Writes what bar.red gives to the lanes.
void finish_barrier(Warp& warp, const Instruction& i, u32 lanes, const BarrierState& barrier);

/// All copies of cp.async that are still to happen for these lanes.
void finish_late_copies(Warp& warp, u32 lanes);

}  // namespace mirilla::ptx
