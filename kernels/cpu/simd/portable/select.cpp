// SPDX-License-Identifier: MIT
// For architectures with only one set of loops, vectorised by the compiler.
#include "kernels/cpu/simd/loops.h"

namespace mirilla::cpu {

const Loops* wide_loops(const char*) { return nullptr; }

const Loops& best_loops() { return baseline_loops(); }

}  // namespace mirilla::cpu
