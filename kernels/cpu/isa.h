// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <vector>

#include "kernels/cpu/simd/loops.h"

namespace mirilla::cpu {

/// The loops in use: the best this machine has, or what MIRILLA_CPU_ISA names. Throws DeviceError for a name that is unknown or not
/// available here.
const Loops& loops();

/// Uses the named loops from now on, for tests and measurements; not to be called while an operation runs.
void use_loops(std::string_view name);

/// "baseline", "avx2", "avx512": those that this machine can run.
std::vector<std::string_view> loop_names();

}  // namespace mirilla::cpu
