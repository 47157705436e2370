// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/common.h"

/// How kernels go through pictures (N,H,W,C): x of the grid along a row of pixels and their vectors of channels, y down the rows, z from
/// picture to picture. So a thread divides once, by the vectors per pixel, in 32 bits.
namespace mirilla::MIRILLA_PLATFORM {

/// The extents of (N,H,W,C) as kernels take them. Offsets are computed from them in 64 bits.
struct Pictures {
  int count, height, width, channels;

  /// The offset of a pixel's first channel.
  __host__ __device__ int64_t at(int n, int row, int column) const {
    return ((static_cast<int64_t>(n) * height + row) * width + column) * channels;
  }
};

inline Pictures pictures(const ConstView& x) {
  return {static_cast<int>(x.shape[0]), static_cast<int>(x.shape[1]), static_cast<int>(x.shape[2]), static_cast<int>(x.shape[3])};
}

inline constexpr int64_t kLargestGridSide = 65535;  // y and z; beyond it, kernels loop

/// One thread per vector of N channels.
inline LaunchShape shape_for(const Pictures& y, int vector) {
  const int64_t in_a_row = int64_t{y.width} * (y.channels / vector);
  const auto threads = static_cast<unsigned>(std::min<int64_t>(kBlock, ceil_div(in_a_row, 32) * 32));
  return {{static_cast<unsigned>(ceil_div(in_a_row, threads)), static_cast<unsigned>(std::min<int64_t>(y.height, kLargestGridSide)),
           static_cast<unsigned>(std::min<int64_t>(y.count, kLargestGridSide))},
          {threads}};
}

/// Calls f(n, column, channel) for each picture and the vector of N channels of a row of y that belongs to the running thread.
template <int N, class F>
__device__ __forceinline__ void for_each_column(const Pictures& y, F f) {
  const unsigned vectors = static_cast<unsigned>(y.channels / N), i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= static_cast<unsigned>(y.width) * vectors) return;
  const int column = static_cast<int>(i / vectors), channel = static_cast<int>(i % vectors) * N;
  for (int n = static_cast<int>(blockIdx.z); n < y.count; n += static_cast<int>(gridDim.z)) f(n, column, channel);
}

/// Calls f(n, row, column, channel) for each vector of N channels of y that belongs to the running thread.
template <int N, class F>
__device__ __forceinline__ void for_each_vector(const Pictures& y, F f) {
  for_each_column<N>(y, [&](int n, int column, int channel) {
    for (int row = static_cast<int>(blockIdx.y); row < y.height; row += static_cast<int>(gridDim.y)) f(n, row, column, channel);
  });
}

/// Calls f<N>() with the channels that go in one vector: as many as fit 16 bytes, if that number divides the channels and all addresses are
/// aligned for it (`aligned`), or 1.
template <class T, class F>
void dispatch_vector(int64_t channels, bool aligned, F&& f) {
  constexpr int kCount = 16 / sizeof(T);
  if (aligned && channels % kCount == 0)
    f.template operator()<kCount>();
  else
    f.template operator()<1>();
}

}  // namespace mirilla::MIRILLA_PLATFORM
