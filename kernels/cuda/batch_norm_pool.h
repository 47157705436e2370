// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "kernels/core/error.h"
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/parts/divider.h"
#include "kernels/cuda/parts/pictures.h"

/// The gradient that arrives at a batch norm through its ReLU and a max pool of 3 x 3 windows every 2 pixels: of each element, the sum of
/// dy of the windows whose place it is, in the order of max_pool2d.cu, rounded to the type as if it had been stored. Nothing else needs it,
/// so both passes of the norm's backward gather it, from dy and a byte of place per window. Each window is read for 2.25 elements beside
/// each other, so all but the first read come from a cache.
namespace mirilla::MIRILLA_PLATFORM {

template <class T>
struct PooledUpstream {
  const T* dy;           // (N,P,Q,C)
  const uint8_t* index;  // like it
  Pictures windows;
  Divider height, width, vectors;  // of x; vectors of W channels per pixel
  int padding;
};

template <class T>
PooledUpstream<T> pooled_upstream(const op::BatchNormBackward& call) {
  const Pictures x = pictures(call.x);
  return {call.dy.data<T>(), call.index.data<uint8_t>(), pictures(call.dy), Divider(x.height),
          Divider(x.width),  Divider(x.channels),        call.pool.padding};
}

/// The same for accesses of W channels. Throws DeviceError where there are too many.
template <int W, class T>
PooledUpstream<T> in_vectors(PooledUpstream<T> from, int64_t rows, int64_t channels) {
  if (rows * (channels / W) > std::numeric_limits<int>::max())
    throw DeviceError(fmt::format("batch_norm_backward: {} rows of {} channels behind a pool are too many for the device '{}'", rows,
                                  channels, kDeviceName),
                      "split the batch");
  from.vectors = Divider(static_cast<int>(channels / W));
  return from;
}

/// Of the W channels at element `at` of x.
template <int W, class T>
__device__ __forceinline__ Raw<T, W> load_pooled(const PooledUpstream<T>& from, int64_t at) {
  const auto [pixel, vector] = from.vectors.divide(static_cast<unsigned>(at / W));
  const auto [line, column] = from.width.divide(pixel);
  const auto [n, row] = from.height.divide(line);
  const int down = static_cast<int>(row) + from.padding, right = static_cast<int>(column) + from.padding;
  const int first_i = max(down - 1, 0) / 2, last_i = min(down / 2, from.windows.height - 1);
  const int first_j = max(right - 1, 0) / 2, last_j = min(right / 2, from.windows.width - 1);
  Vector<float, W> sum{};
#pragma unroll
  for (int of_i = 0; of_i < 2; ++of_i)
#pragma unroll
    for (int of_j = 0; of_j < 2; ++of_j) {
      const int i = first_i + of_i, j = first_j + of_j;
      if (i > last_i || j > last_j) continue;
      const int64_t window = from.windows.at(static_cast<int>(n), i, j) + vector * W;
      const Raw<T, W> gradient = load_channels<W>(from.dy + window);
      const auto winner = load<Vector<uint8_t, W>>(from.index + window);
      const int place = (down - 2 * i) * 3 + right - 2 * j;
#pragma unroll
      for (int k = 0; k < W; ++k)
        if (winner[k] == place) sum[k] += gradient[k];
    }
  Raw<T, W> rounded{};
  constexpr int kInWord = 4 / sizeof(T);
#pragma unroll
  for (int k = 0; k < W; ++k) {
    if constexpr (sizeof(T) == 4)
      rounded.words[k] = __float_as_uint(sum[k]);
    else
      rounded.words[k / kInWord] |= uint32_t{narrow<T>(sum[k]).bits} << k % kInWord * 16;
  }
  return rounded;
}

/// Of the first `count` of eight neighbours, whatever their channels, one after the other: the code of eight at once would not fit
/// registers.
template <class T>
__device__ __forceinline__ Raw<T, kOctet> load_pooled_octet(const PooledUpstream<T>& from, int64_t at, int64_t count) {
  constexpr int kInWord = 4 / sizeof(T), kInLong = 2 * kInWord;
  constexpr int kLongs = kOctet / kInLong;
  Raw<T, kOctet> raw{};
#pragma unroll
  for (int of_long = 0; of_long < kLongs; ++of_long) {  // words in an array that a loop counts through would lie in memory
    uint64_t bits = 0;
#pragma unroll 1
    for (int k = 0; k < kInLong && of_long * kInLong + k < count; ++k)
      bits |= uint64_t{load_pooled<1>(from, at + of_long * kInLong + k).words[0]} << k * (32 / kInWord);
    raw.words[2 * of_long] = static_cast<uint32_t>(bits);
    raw.words[2 * of_long + 1] = static_cast<uint32_t>(bits >> 32);
  }
  return raw;
}

}  // namespace mirilla::MIRILLA_PLATFORM
