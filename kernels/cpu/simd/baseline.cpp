// SPDX-License-Identifier: MIT
// The loops for the instructions that every machine of this architecture has.
#include "kernels/cpu/simd/loops.h"

namespace mirilla::cpu {

namespace {
constexpr int kLanes = 4;
}

#include "kernels/cpu/simd/table.inl"

const Loops& baseline_loops() {
  static constexpr Loops kLoops = loops_named("baseline", "no SIMD beyond the baseline");
  return kLoops;
}

}  // namespace mirilla::cpu
