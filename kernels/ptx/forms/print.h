// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <string>

namespace mirilla::ptx {

/// A zero-terminated string in the kernel's memory.
std::string text_at(const Instruction& i, const Warp& warp, u32 lane, u64 address);

/// The output of printf for a format and packed arguments (each aligned to its size; floats are doubles), as CUDA's vprintf gets them.
std::string formatted(const Instruction& i, const Warp& warp, u32 lane, u64 format, u64 arguments);

}  // namespace mirilla::ptx
