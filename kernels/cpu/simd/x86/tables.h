// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cpu/simd/loops.h"

namespace mirilla::cpu {

/// Only for a machine with these instructions: see wide_loops().
const Loops& avx2_loops();
const Loops& avx512_loops();

}  // namespace mirilla::cpu
