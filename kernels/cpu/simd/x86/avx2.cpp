// SPDX-License-Identifier: MIT
// Compiled with AVX2 and FMA; nothing here may run, not even a constructor, before the processor was checked.
#include "kernels/cpu/simd/x86/tables.h"

namespace mirilla::cpu {

namespace {
constexpr int kLanes = 8;
}

#include "kernels/cpu/simd/table.inl"

const Loops& avx2_loops() {
  static constexpr Loops kLoops = loops_named("avx2", "AVX2");
  return kLoops;
}

}  // namespace mirilla::cpu
