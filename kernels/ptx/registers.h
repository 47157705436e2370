// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/body.h"

#include <vector>

namespace mirilla::ptx {

/// Finds places for a function's registers from byte `frame` of a warp's registers on, and writes them into its instructions. nvcc writes a
/// new register for every value; registers that are never live at the same time share a place, so that a warp's registers stay in the
/// first-level cache. Registers that share a place have the same size, so they never overlap in part. Returns where they end.
u32 place_registers(Body& body, std::vector<Register>& registers, u32 frame);

}  // namespace mirilla::ptx
