// SPDX-License-Identifier: MIT
// An architecture for which there is one set of loops: the compiler's own choice.
#include "kernels/cpu/simd/loops.h"

namespace mirilla::cpu {

const Loops* wide_loops(const char*) { return nullptr; }

const Loops& best_loops() { return baseline_loops(); }

}  // namespace mirilla::cpu
