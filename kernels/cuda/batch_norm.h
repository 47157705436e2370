// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
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

inline constexpr int kMostAcross = 64;  // threads: 1 KiB of a row per access; more would leave few rows per block

/// The threads of a block and the blocks side by side, with W channels per thread.
struct RowBlock {
  dim3 threads;
  unsigned blocks_across;

  RowBlock(int64_t channels, int width) {
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
  unsigned count;  // of stretches; 1, an empty one, for no rows

  Stretches(int64_t rows_, const RowBlock& block, int at_once, int resident) : rows(rows_) {
    const int64_t each = ceil_div(rows, block.blocks_down(rows, at_once, resident));
    stretch = std::max<int64_t>(1, ceil_div(each, block.threads.y)) * block.threads.y;  // the same for each thread
    count = static_cast<unsigned>(std::max<int64_t>(1, ceil_div(rows, stretch)));
  }
};

/// The first channel of the running thread, in a launch that begins at this column of blocks; the grid's limits keep it in an int.
template <int W>
__device__ __forceinline__ int first_channel(unsigned first_column = 0) {
  return static_cast<int>(((first_column + blockIdx.y) * blockDim.x + threadIdx.x) * W);
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
/// the result. P has merge(const P&); `room` is shared memory, one P for every second thread. All threads of the block must call it.
template <class P>
__device__ __forceinline__ void merge_rows(P& mine, P* room) {
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  unsigned half = 1;
  while (half < blockDim.y) half *= 2;
  for (half /= 2; half > 0; half /= 2) {
    if (threadIdx.y >= half && threadIdx.y < 2 * half) room[at - half * blockDim.x] = mine;
    __syncthreads();
    if (threadIdx.y < half && threadIdx.y + half < blockDim.y) mine.merge(room[at]);
    __syncthreads();
  }
}

// --- The blocks' results, merged by the blocks themselves --------------------------------------------------------------------------------
//
// Each block of a column of the grid leaves a part of the result per channel in global memory; whichever block comes last merges them. So
// that it does not depend on which that is, parts are always merged in the same order: in 32 classes, class r of the parts r, r + 32, ...
// one after the other, and then the classes in a tree. The last block of a class merges the class, the last of those the classes: the first
// step runs on as many blocks as there are classes, and the second is short.

inline constexpr int kClasses = 32;
inline constexpr int kCountersPerColumn = kClasses + 3;  // with a flag, and for the blocks that have seen it
/// Blocks side by side in one launch; wider tensors take several launches.
inline constexpr unsigned kMostColumns = kCounters / kCountersPerColumn;

/// Calls launch(first, count) for groups of columns of blocks that have counters.
template <class F>
void for_column_groups(const RowBlock& block, F&& launch) {
  for (unsigned first = 0; first < block.blocks_across; first += kMostColumns)
    launch(first, std::min(kMostColumns, block.blocks_across - first));
}

/// True in all threads of the last of `count` blocks that call it with this counter, and then what the others wrote before is visible. The
/// counter must be 0 before the first, and is 0 after the last. All threads of the block must call it.
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned count) {
  __shared__ bool last;
  __syncthreads();  // all threads of the block have written their part
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    __threadfence();  // and that is visible before the block is counted
    last = atomicInc(counter, count - 1) == count - 1;
    __threadfence();  // the other way round, for the last block
  }
  __syncthreads();
  return last;
}

/// Returns in all blocks of a column of the grid once its last block, which merged the parts, has called it. What the last block wrote
/// before is visible then. All threads of the blocks, which run together, must call it.
__device__ __forceinline__ void wait_for_last(bool last, unsigned* counters) {
  unsigned* const flag = counters + blockIdx.y * kCountersPerColumn + kClasses + 1;
  __syncthreads();  // all threads of the last block have written
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    if (last)
      raise_flag(flag);
    else
      wait_for_flag(flag);
    if (atomicInc(flag + 1, gridDim.x - 1) == gridDim.x - 1) lower_flag(flag);  // all have seen it
  }
  __syncthreads();
}

/// The first rows of each thread's stretch, kept in the block's dynamic shared memory as they were read. One thread's are not read by
/// others. Thread after thread, 16 bytes each, so that a warp's access has no bank conflict.
template <class T>
class Kept {
 public:
  static constexpr int kPacks = kOctet * sizeof(T) / sizeof(Pack<uint32_t>);

  __device__ explicit Kept(int rows)
      : rows_(rows),
        threads_(static_cast<int>(blockDim.x * blockDim.y)),
        mine_(dynamic_shared<Pack<uint32_t>>() + threadIdx.y * blockDim.x + threadIdx.x) {}

  __device__ __forceinline__ bool has(int row) const { return row < rows_; }
  __device__ __forceinline__ void put(int row, const Raw<T, kOctet>& raw) const {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      Pack<uint32_t> pack;
#pragma unroll
      for (int k = 0; k < 4; ++k) pack[k] = raw.words[4 * p + k];
      mine_[(row * kPacks + p) * threads_] = pack;
    }
  }
  __device__ __forceinline__ Raw<T, kOctet> get(int row) const {
    Raw<T, kOctet> raw;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const Pack<uint32_t> pack = mine_[(row * kPacks + p) * threads_];
#pragma unroll
      for (int k = 0; k < 4; ++k) raw.words[4 * p + k] = pack[k];
    }
    return raw;
  }

 private:
  int rows_, threads_;
  Pack<uint32_t>* mine_;
};

/// How many rows each thread of a launch of such blocks keeps, of `tensors` tensors, and what that leaves to be read again.
template <class T>
struct Keeping {
  int rows = 0;
  size_t shared_bytes = 0;
  int64_t read_again_bytes = 0;

  /// `own`: static shared memory of a block. A multiprocessor has what one block may ask for and what is reserved for one.
  Keeping(const RowBlock& block, const Stretches& stretches, int64_t channels, int tensors, int resident, size_t own) {
    constexpr size_t kReserved = 1024;
    const size_t each = (facts().shared_bytes_per_block + kReserved) / static_cast<size_t>(resident);
    const size_t row = size_t{block.threads.x} * block.threads.y * kOctet * sizeof(T) * static_cast<size_t>(tensors);
    const size_t fit = each > own + kReserved ? (each - own - kReserved) / row : 0;
    rows = static_cast<int>(std::min<size_t>(fit, static_cast<size_t>(stretches.stretch / block.threads.y)));
    shared_bytes = static_cast<size_t>(rows) * row;
    const int64_t kept = int64_t{rows} * block.threads.y;
    for (unsigned s = 0; s < stretches.count; ++s) {
      const int64_t in_stretch = std::min(stretches.stretch, stretches.rows - s * stretches.stretch);
      read_again_bytes += std::max<int64_t>(0, in_stretch - kept) * channels * static_cast<int64_t>(sizeof(T)) * tensors;
    }
  }
};

/// Whether all blocks of such a launch can run at the same time, and their columns have counters.
inline bool runs_together(const Stream& stream, const RowBlock& block, const Stretches& stretches, int resident) {
  const int64_t blocks = int64_t{stretches.count} * block.blocks_across;
  return block.blocks_across <= kMostColumns && blocks <= int64_t{facts().multiprocessors} * resident && blocks <= most_together(stream);
}

/// P from the lane `by` further; all lanes of the warp must call it.
template <class P>
__device__ __forceinline__ P from_lane_further(const P& mine, unsigned by) {
  struct Words {
    float values[sizeof(P) / sizeof(float)];
  };
  auto words = std::bit_cast<Words>(mine);
  for (float& value : words.values) value = __shfl_down_sync(~0u, value, by);
  return std::bit_cast<P>(words);
}

/// Calls finish(channel, P) for each channel of this block's column, first .. end - 1, by one thread, in the block that comes last; returns
/// whether this is that block. Part number blockIdx.x of these channels must be stored. P is a result of one channel, empty as P{}, with
/// merge(const P&); `parts` has load(part, channel), and of_classes(): where a class is stored and loaded, which may be the memory of
/// its first part. All threads of the block must call it.
template <class P, class Parts, class Finish>
__device__ __forceinline__ bool merge_parts(const Parts& parts, int first, int end, unsigned* counters, Finish&& finish) {
  constexpr int kLanes = 8, kEach = kClasses / kLanes;  // lanes of a warp for one channel, classes of each
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x), threads = static_cast<int>(blockDim.x * blockDim.y);
  const int count = static_cast<int>(gridDim.x), classes = min(count, kClasses);
  const Parts results = count > kClasses ? parts.of_classes() : parts;
  counters += blockIdx.y * kCountersPerColumn;
  if (count > kClasses) {
    const int mine = static_cast<int>(blockIdx.x) % kClasses;
    if (!is_last_block(counters + mine, static_cast<unsigned>((count - mine + kClasses - 1) / kClasses))) return false;
#pragma unroll 1
    for (int c = first + thread; c < end; c += threads) {
      constexpr int kAtOnce = 2;
      P merged{};
#pragma unroll 1
      for (int part = mine; part < count; part += kAtOnce * kClasses) {
        P next[kAtOnce];
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k)
          if (part + k * kClasses < count) next[k] = parts.load(part + k * kClasses, c);
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k)
          if (part + k * kClasses < count) merged.merge(next[k]);
      }
      results.store(mine, c, merged);
    }
  }
  if (!is_last_block(counters + kClasses, static_cast<unsigned>(classes))) return false;
  const int whole = threads / 32 * 32;  // threads of full warps, which can shuffle
  if (thread >= whole) return true;
#pragma unroll 1
  for (int base = first; base < end; base += whole / kLanes) {
    const int c = base + thread / kLanes, lane = thread % kLanes;
    P own[kEach];  // classes lane, lane + 4, ...
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      own[k] = P{};
      const int r = lane + k * kLanes;
      if (c < end && r < classes) own[k].merge(results.load(r, c));
    }
#pragma unroll
    for (int half = kEach / 2; half > 0; half /= 2)
#pragma unroll
      for (int k = 0; k < half; ++k)
        if (lane + (k + half) * kLanes < classes) own[k].merge(own[k + half]);
#pragma unroll
    for (int half = kLanes / 2; half > 0; half /= 2) {
      const P other = from_lane_further(own[0], static_cast<unsigned>(half));
      if (lane < half && lane + half < classes) own[0].merge(other);
    }
    if (lane == 0 && c < end) finish(c, own[0]);
  }
  return true;
}

}  // namespace mirilla::MIRILLA_PLATFORM
