// SPDX-License-Identifier: MIT
// Compiled with AVX-512 F, DQ, BW, VL; nothing here may run, not even a constructor, before the processor was checked.
#include "kernels/cpu/simd/x86/tables.h"

namespace mirilla::cpu {

namespace {
constexpr int kLanes = 16;
}

#include "kernels/cpu/simd/table.inl"

const Loops& avx512_loops() {
  static constexpr Loops kLoops = loops_named("avx512", "AVX-512");
  return kLoops;
}

}  // namespace mirilla::cpu
