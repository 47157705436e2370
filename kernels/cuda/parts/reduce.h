// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

/// Sum over the warp's lanes, in every lane; in a fixed order, so with the same bits in every run. All 32 lanes must call it.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kFullMask, value, lanes);
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(kFullMask, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

/// Sum over a block of one dimension and kWarps whole warps, in every thread. `room` is shared memory for one T per warp; between this
/// call and another use of it there must be a barrier.
template <class T, int kWarps>
__device__ __forceinline__ T block_sum(T value, T (&room)[kWarps]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  value = warp_sum(value);
  if (lane == 0) room[warp] = value;
  __syncthreads();
  T sum{};
  for (int i = 0; i < kWarps; ++i) sum += room[i];
  return sum;
}

}  // namespace mirilla::MIRILLA_PLATFORM
