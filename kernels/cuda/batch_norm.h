// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>

#include "kernels/cuda/common.h"
#include "kernels/cuda/parts/elementwise.h"

/// How batch norm's kernels map threads to a tensor of rows and channels (N,H,W,C), C innermost.
///
/// Threads along x keep their channels, so the values of a channel are loaded once and kept in registers; threads along y
/// walk down the rows. Neighbours in a row are neighbours in memory: a warp's access is one contiguous range or, in a narrow tensor,
/// several whole rows.
///
///   threadIdx.x, blockIdx.y   the channels: W per thread
///   threadIdx.y, blockIdx.x   the rows
///
/// W is 8 where 16-byte accesses are possible (one for half precision, two for f32): C a multiple of 8, and each address a multiple of 16.
/// Eight neighbouring elements are also one byte of the ReLU mask. Everything else is processed element by element.
namespace mirilla::MIRILLA_PLATFORM {

inline constexpr int kOctet = 8;

inline bool in_octets(int64_t channels, std::initializer_list<const void*> addresses) {
  bool all = channels % kOctet == 0;
  for (const void* address : addresses) all = all && is_aligned(address, 16);  // the address of an absent tensor is null
  return all;
}

/// The threads of a block and the blocks side by side, with W channels per thread.
struct RowBlock {
  dim3 threads;
  unsigned blocks_across;

  RowBlock(int64_t channels, int width) {
    constexpr int64_t kMostAcross = 64;  // 1 KiB of a row per access; more would leave few rows per block
    const int64_t across = ceil_div(channels, width);
    blocks_across = static_cast<unsigned>(ceil_div(across, kMostAcross));
    threads.x = static_cast<unsigned>(ceil_div(across, blocks_across));
    threads.y = kBlock / threads.x;
  }

  /// Blocks along the rows; each thread takes `at_once` rows per turn. At most `resident` per multiprocessor, so that all run at the same
  /// time and a thread's work once per channel costs little.
  unsigned blocks_down(int64_t rows, int at_once, int resident) const {
    const int64_t most = std::max<int64_t>(1, int64_t{facts().multiprocessors} * resident / blocks_across);
    return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(rows, int64_t{threads.y} * at_once), 1, most));
  }
};

/// The rows of a reduction, divided among blocks: block b has `stretch` of them from b * stretch, the last block the rest.
struct Stretches {
  int64_t rows, stretch;
  unsigned count;  // of stretches; 0 for no rows

  Stretches(int64_t rows_, const RowBlock& block, int at_once, int resident) : rows(rows_) {
    const int64_t each = ceil_div(rows, block.blocks_down(rows, at_once, resident));
    stretch = std::max<int64_t>(1, ceil_div(each, block.threads.y)) * block.threads.y;  // the same for each thread
    count = static_cast<unsigned>(ceil_div(rows, stretch));
  }
};

/// The first channel of the running thread; the grid's limits keep it in an int.
template <int W>
__device__ __forceinline__ int first_channel() {
  return static_cast<int>((blockIdx.y * blockDim.x + threadIdx.x) * W);
}

/// The rows that a thread still has to visit: `left` rows, the first at element `at`, the next `step` elements further.
struct Walk {
  int64_t at, step;
  int left;

  /// Every stride-th row of begin .. end - 1.
  __device__ __forceinline__ Walk(int64_t begin, int64_t end, int64_t stride, int64_t channels, int64_t channel)
      : at(begin * channels + channel), step(stride * channels), left(static_cast<int>((end - begin + stride - 1) / stride)) {}

  /// Over this block's stretch.
  static __device__ __forceinline__ Walk in_stretch(int64_t rows, int64_t stretch, int64_t channels, int64_t channel) {
    const int64_t begin = blockIdx.x * stretch;
    return {begin + threadIdx.y, min(rows, begin + stretch), blockDim.y, channels, channel};
  }
  /// Over all rows, with the stride of the grid.
  static __device__ __forceinline__ Walk in_turns(int64_t rows, int64_t channels, int64_t channel) {
    return {int64_t{blockIdx.x} * blockDim.y + threadIdx.y, rows, int64_t{gridDim.x} * blockDim.y, channels, channel};
  }
  __device__ __forceinline__ void go(int rows) {
    at += rows * step;
    left -= rows;
  }
};

/// W neighbouring elements as they were read, in whole registers: a half takes half a register until it is used.
template <class T, int W>
struct Raw {
  static constexpr int kWords = (W * static_cast<int>(sizeof(T)) + 3) / 4;
  uint32_t words[kWords];

  __device__ __forceinline__ float operator[](int k) const {
    if constexpr (sizeof(T) == 4)
      return __uint_as_float(words[k]);
    else
      return widen(T::from_bits(static_cast<uint16_t>(words[k / 2] >> 16 * (k % 2))));
  }
};

/// 16 bytes per access for W = 8.
template <int W, class T>
__device__ __forceinline__ Raw<T, W> load_channels(const T* address) {
  static_assert(W == 1 || W == kOctet);
  Raw<T, W> raw;
  if constexpr (W == 1) {
    if constexpr (sizeof(T) == 4)
      raw.words[0] = __float_as_uint(*address);
    else
      raw.words[0] = address->bits;
  } else {
#pragma unroll
    for (int at = 0; at < W * static_cast<int>(sizeof(T)) / 16; ++at) {
      const auto pack = load<Pack<uint32_t>>(reinterpret_cast<const uint32_t*>(address) + 4 * at);
#pragma unroll
      for (int k = 0; k < 4; ++k) raw.words[4 * at + k] = pack[k];
    }
  }
  return raw;
}

/// The first `count` of eight neighbours, the rest 0; all eight in 16-byte accesses where Aligned.
template <bool Aligned, class T>
__device__ __forceinline__ Raw<T, kOctet> load_octet(const T* address, int64_t count) {
  if constexpr (Aligned) return load_channels<kOctet>(address);
  Raw<T, kOctet> raw{};
  constexpr int kInWord = 4 / sizeof(T);
#pragma unroll
  for (int k = 0; k < kOctet; ++k)
    if (k < count) raw.words[k / kInWord] |= load_channels<1>(address + k).words[0] << (k % kInWord * 16);
  return raw;
}

template <int W, class T>
__device__ __forceinline__ Vector<float, W> widen(const Raw<T, W>& raw) {
  Vector<float, W> wide;
#pragma unroll
  for (int k = 0; k < W; ++k) wide[k] = raw[k];
  return wide;
}

using Octet = Vector<float, kOctet>;

template <bool Aligned, class T>
__device__ __forceinline__ void store_octet(T* address, const Octet& wide, int64_t count) {
  if constexpr (Aligned) {
#pragma unroll
    for (int at = 0; at < kOctet; at += Pack<T>::size) {
      Pack<T> pack;
#pragma unroll
      for (int k = 0; k < Pack<T>::size; ++k) pack[k] = narrow<T>(wide[at + k]);
      store(address + at, pack);
    }
  } else {
#pragma unroll
    for (int k = 0; k < kOctet; ++k)
      if (k < count) address[k] = narrow<T>(wide[k]);
  }
}

/// The values of the channels of an octet: of neighbouring channels if C is a multiple of 8, else of (`first` + k) mod C. These arrays are
/// f32 and small, and may start anywhere.
template <bool Aligned>
__device__ __forceinline__ Octet of_channels(const float* values, int64_t first, int64_t channels) {
  Octet octet;
  int64_t channel = first;
  for (int k = 0; k < kOctet; ++k) {
    octet[k] = values[channel];
    ++channel;
    if (!Aligned && channel == channels) channel = 0;
  }
  return octet;
}

/// Merges the results of the threads of a column, always in the same order: a tree over threadIdx.y. The thread with threadIdx.y = 0 gets
/// the result. P has merge(const P&); `room` is shared memory, one P per thread. All threads of the block must call it.
template <class P>
__device__ __forceinline__ void merge_rows(P& mine, P* room) {
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  room[at] = mine;
  unsigned half = 1;
  while (half < blockDim.y) half *= 2;
  for (half /= 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half && threadIdx.y + half < blockDim.y) {
      mine.merge(room[at + half * blockDim.x]);
      room[at] = mine;
    }
  }
}

/// The kernel that merges the blocks' parts: 8 channels by up to 32 parts at a time.
inline LaunchShape shape_for_parts(int64_t channels, unsigned parts) {
  constexpr unsigned kAcross = 8;  // 32 bytes of a row of parts: one sector
  return {dim3(1, static_cast<unsigned>(ceil_div(channels, kAcross))), dim3(kAcross, std::clamp(parts, 1u, kBlock / kAcross))};
}

}  // namespace mirilla::MIRILLA_PLATFORM
