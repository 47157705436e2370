// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/body.h"

#include <vector>

namespace mirilla::ptx {

/// Finds places for a function's registers from byte `frame` of a warp's registers on, and writes them into its instructions. nvcc writes a
/// new register for every value; registers that are never alive together share a place, so that a warp's registers stay in the processor's
/// nearest cache. Two that share are of the same size, so they are never half of one another. Returns where they end.
u32 place_registers(Body& body, std::vector<Register>& registers, u32 frame);

}  // namespace mirilla::ptx
