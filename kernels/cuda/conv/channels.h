// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// to(row, c) = from(row, c), or 0 where from has no channel c. Either may have more channels than the other.
void copy_channels(Stream& stream, const void* from, int64_t channels_from, void* to, int64_t channels_to, int64_t rows, DType dtype);

/// to = from, f16 or bf16 to f32; and the inverse, rounded to nearest even.
void widen_halves(Stream& stream, const void* from, DType dtype, float* to, int64_t count);
void narrow_to_halves(Stream& stream, const float* from, void* to, DType dtype, int64_t count);

/// Numbers in [-1,1) that look random; the same for the same seed. f32, f16 and bf16.
void fill_uniform(Stream& stream, void* to, DType dtype, int64_t count, uint32_t seed);

/// result[0] = max |ours|, or infinity where any of ours is not finite; result[1] = max |ours - theirs| over finite elements of ours,
/// infinity where theirs is not. `result` is device memory. f32, f16 and bf16.
void largest_and_apart(Stream& stream, const void* ours, const void* theirs, DType dtype, int64_t count, float* result);

}  // namespace mirilla::MIRILLA_PLATFORM
