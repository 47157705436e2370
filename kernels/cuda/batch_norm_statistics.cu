// SPDX-License-Identifier: MIT
#include "kernels/cuda/batch_norm_apply.h"
#include "kernels/cuda/batch_norm_launches.h"

// mean = 1/n sum x, inv_std = 1 / sqrt(1/n sum (x - mean)^2 + eps) of each channel; also the running statistics. Sums are f32 for every
// dtype.
//
// One read. A thread takes a few rows at a time, finds their mean and their sum of squares about it in registers, and merges that into what
// it has; threads, and then blocks, are merged by the same formula. E[x^2] - E[x]^2 would also need one read, but cancels: for channels
// with mean 1000 and deviation 0.01 no digit would be left. To keep the digits of the mean too, everything is relative to a value of the
// channel itself. A channel whose moments are not finite in f32, because of its values or because their squares are too large, is summed
// again in f64, by one block in two reads: its mean is then infinite or NaN as its values demand, and a finite variance is not lost.
//
// Where y is wanted too, the same launch computes it (whole_kernel): its blocks are all resident and wait until the last one has merged the
// parts. Each keeps as many of its rows as fit in shared memory, so that x is read once, or little more.
//
// Bytes: read n elements once; the parts are 8 bytes per channel and block. With y, besides: read the rows that were not kept and the
// residual, write y and its mask.
// Launch: one, of blocks of up to 256 threads, channels along x and rows along y, as many as run at the same time. The last of them merges
// the parts (batch_norm.h).
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kResident = 3;  // blocks per multiprocessor, with 80 registers per thread, as the kernel that also applies them needs

/// Rows that a thread loads at the same time: 64 bytes in octets.
template <class T>
constexpr int kRowsAtOnce = 8 / sizeof(T);

/// Of `count` values per channel: their mean and the sum of squares about it.
template <int W>
struct Moments {
  float count;
  Vector<float, W> mean, squares;

  /// The moments of both sets together.                                                                          [Chan, Golub, LeVeque
  /// 1979]
  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const float total = count + other.count, share = other.count / total;
#pragma unroll
    for (int c = 0; c < W; ++c) {
      const float apart = other.mean[c] - mean[c];
      mean[c] = fmaf(apart, share, mean[c]);
      squares[c] += fmaf(apart * apart, count * share, other.squares[c]);
    }
    count = total;
  }
};

/// A value near the mean of each channel: the median of three rows, so that one outlier does no harm. The difference x minus it is mostly
/// exact.
template <int W, class T>
__device__ __forceinline__ Vector<float, W> shift_of(const T* x, int64_t rows, int64_t channels) {
  const Vector<float, W> a = widen(load_channels<W>(x)), b = widen(load_channels<W>(x + rows / 2 * channels)),
                         c = widen(load_channels<W>(x + (rows - 1) * channels));
  Vector<float, W> median;
  for (int k = 0; k < W; ++k) median[k] = fmaxf(fminf(a[k], b[k]), fminf(fmaxf(a[k], b[k]), c[k]));
  return median;
}

/// Of K rows.
template <int K, int W, class T>
__device__ __forceinline__ Moments<W> moments_of(const Raw<T, W>* raws, const Vector<float, W>& shift) {
  Vector<float, W> rows[K];
#pragma unroll
  for (int k = 0; k < K; ++k) rows[k] = widen(raws[k]);
  Moments<W> found{K, {}, {}};
#pragma unroll
  for (int c = 0; c < W; ++c) {
    for (int k = 0; k < K; ++k) found.mean[c] += rows[k][c] - shift[c];
    found.mean[c] *= 1.0f / K;
    for (int k = 0; k < K; ++k) {
      const float apart = rows[k][c] - shift[c] - found.mean[c];
      found.squares[c] = fmaf(apart, apart, found.squares[c]);
    }
  }
  return found;
}

/// Adds this thread's rows of the block's stretch to `mine`: row number i of them by load(i, at).
template <int W, class T, class Load>
__device__ __forceinline__ void gather(Moments<W>& mine, const Walk& start, const Vector<float, W>& shift, Load&& load) {
  constexpr int kRows = kRowsAtOnce<T>;
  int i = 0;
  Walk walk = start;
  for (; walk.left >= kRows; walk.go(kRows), i += kRows) {
    Raw<T, W> raws[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) raws[k] = load(i + k, walk.at + k * walk.step);
    mine.merge(moments_of<kRows>(raws, shift));
  }
  for (; walk.left > 0; walk.go(1), ++i) {
    const Raw<T, W> raw = load(i, walk.at);
    mine.merge(moments_of<1>(&raw, shift));
  }
}

/// Where blocks leave their moments.
struct Parts {
  float* values;  // (parts, 2, C): means, sums of squares
  float* counts;  // (columns of the grid, parts and classes): rows
  int64_t rows, stretch, channels;

  __device__ __forceinline__ float* at(int part, int c) const { return values + int64_t{2} * part * channels + c; }
  __device__ __forceinline__ float& count_of(int part) const { return counts[blockIdx.y * (gridDim.x + kClasses) + part]; }

  __device__ __forceinline__ Moments<1> load(int part, int c) const {
    const float* const from = at(part, c);
    return {count_of(part), {from[0]}, {from[channels]}};
  }
  __device__ __forceinline__ void store(int part, int c, const Moments<1>& moments) const {
    float* const to = at(part, c);
    to[0] = moments.mean[0];
    to[channels] = moments.squares[0];
    count_of(part) = moments.count;  // the threads of other channels write the same
  }
  /// Counts of their own, which threads of other channels read meanwhile.
  __device__ __forceinline__ Parts of_classes() const { return {values, counts + gridDim.x, rows, stretch, channels}; }
};

struct Found {
  float *mean, *inv_std;
  float *running_mean, *running_var;  // may be null
  float eps, keep, momentum, momentum_var;

  __device__ __forceinline__ void write(int c, float of_mean, float of_var, float of_inv_std) const {
    mean[c] = of_mean;
    inv_std[c] = of_inv_std;
    if (!running_mean) return;
    running_mean[c] = fmaf(momentum, of_mean, keep * running_mean[c]);
    running_var[c] = fmaf(momentum_var, of_var, keep * running_var[c]);
  }
};

constexpr int kAcross = 8;  // channels at a time in the next two functions: neighbours, 32 bytes of f32

/// The sum of f(x) over the rows of channel c, in f64, for all threads of the channel: those with the same remainder by kAcross. All
/// threads of the block must call it.
template <class T, class F>
__device__ double sum_channel(const T* x, int64_t rows, int64_t channels, int c, bool wanted, double* room, F&& f) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, down = blockDim.x * blockDim.y / kAcross;
  double mine = 0;
  if (wanted && thread < down * kAcross)
#pragma unroll 1
    for (int64_t row = thread / kAcross; row < rows; row += down) mine += f(static_cast<double>(widen(x[row * channels + c])));
  room[thread] = mine;
  __syncthreads();
  double sum = 0;
#pragma unroll 1
  for (unsigned i = thread % kAcross; i < down * kAcross; i += kAcross) sum += room[i];
  __syncthreads();
  return sum;
}

/// Computes the lost channels of first .. end - 1 again, in two reads. All threads of the block must call it.
template <class T>
__device__ void find_lost(const T* x, const Parts& parts, int first, int end, const bool* lost, const Found& found) {
  __shared__ double room[kBlock];
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const auto n = static_cast<double>(parts.rows);
#pragma unroll 1
  for (int base = first; base < end; base += kAcross) {
    const int c = base + thread % kAcross;
    const bool wanted = c < end && lost[c - first];
    if (!__syncthreads_or(wanted)) continue;
    const auto sum = [&](auto&& f) { return sum_channel(x, parts.rows, parts.channels, c, wanted, room, f); };
    const double mean = sum([](double v) { return v; }) / n;
    const double var = sum([&](double v) { return (v - mean) * (v - mean); }) / n;
    if (wanted && thread < kAcross)
      found.write(c, static_cast<float>(mean), static_cast<float>(var), static_cast<float>(1 / sqrt(var + double{found.eps})));
  }
}

/// From the sums of this block's threads to the statistics: the last block of a column of the grid writes them, and true is returned in it.
/// All threads of the block must call it. With no rows the statistics are NaN.
template <int W, class T>
__device__ __forceinline__ bool finish(Moments<W>& mine, const T* x, const Parts& parts, int channel, unsigned* counters,
                                       const Found& found) {
  __shared__ Moments<W> room[kBlock / 2];
  __shared__ bool lost[kMostAcross * W];
  const int64_t rows = parts.rows, channels = parts.channels;
  merge_rows(mine, room);
  if (threadIdx.y == 0 && channel < channels) {
    const auto part = static_cast<int>(blockIdx.x);
    parts.count_of(part) = static_cast<float>(min(parts.stretch, rows - part * parts.stretch));
    store(parts.at(part, channel), mine.mean);
    store(parts.at(part, channel) + channels, mine.squares);
  }
  const int first = channel - static_cast<int>(threadIdx.x) * W;
  const int end = static_cast<int>(min(int64_t{first} + int64_t{blockDim.x} * W, channels));
  bool any_lost = false;
  const bool last = merge_parts<Moments<1>>(parts, first, end, counters, [&](int c, const Moments<1>& all) {
    const float var = all.squares[0] / static_cast<float>(rows);
    const float mean = rows > 0 ? shift_of<1>(x + c, rows, channels)[0] + all.mean[0] : var;
    const bool is_lost = rows > 0 && !(isfinite(mean) && isfinite(var));
    lost[c - first] = is_lost;
    any_lost = any_lost || is_lost;
    if (!is_lost) found.write(c, mean, var, 1.0f / sqrtf(var + found.eps));
  });
  if (last && __syncthreads_or(any_lost)) find_lost(x, parts, first, end, lost, found);
  return last;
}

/// What every launch over these rows needs: its blocks, their stretches, and memory for their parts.
template <int W, class T>
struct Plan {
  RowBlock block;
  Stretches stretches;

  Plan(int64_t rows, int64_t channels) : block(channels, W), stretches(rows, block, kRowsAtOnce<T>, kResident) {}
  size_t values(int64_t channels) const { return size_t{2} * stretches.count * static_cast<size_t>(channels); }
  size_t bytes(int64_t channels) const {
    return (values(channels) + (size_t{stretches.count} + kClasses) * block.blocks_across) * sizeof(float);
  }
  Parts parts(float* room, int64_t channels) const { return {room, room + values(channels), stretches.rows, stretches.stretch, channels}; }
};

Found found_of(const op::BatchNormStatistics& call) {
  const auto n = static_cast<double>(rows_of(call.x));
  return {.mean = call.mean.data<float>(),
          .inv_std = call.inv_std.data<float>(),
          .running_mean = data_or_null<float>(call.running_mean),
          .running_var = data_or_null<float>(call.running_var),
          .eps = static_cast<float>(call.eps),
          .keep = static_cast<float>(1 - call.momentum),
          .momentum = static_cast<float>(call.momentum),
          .momentum_var = static_cast<float>(call.momentum * n / (n - 1))};
}

template <int W, class T>
__global__ void __launch_bounds__(kBlock, kResident)
    moments_kernel(const T* __restrict__ x, Parts parts, unsigned first_column, unsigned* counters, Found found) {
  const int channel = first_channel<W>(first_column);
  Moments<W> mine{};
  if (channel < parts.channels && parts.rows > 0) {
    const Vector<float, W> shift = shift_of<W>(x + channel, parts.rows, parts.channels);
    const Walk walk = Walk::in_stretch(parts.rows, parts.stretch, parts.channels, channel);
    gather<W, T>(mine, walk, shift, [&](int, int64_t at) { return load_channels<W>(x + at); });
  }
  finish(mine, x, parts, channel, counters, found);
}

template <int W, class T>
void find_statistics(Stream& stream, const T* x, int64_t rows, int64_t channels, const Found& found) {
  const Plan<W, T> plan(rows, channels);
  const Scratch scratch(stream, plan.bytes(channels));
  const Parts parts = plan.parts(scratch.as<float>(), channels);
  for_column_groups(plan.block, [&](unsigned first, unsigned count) {
    launch<moments_kernel<W, T>>(stream, {dim3(plan.stretches.count, count), plan.block.threads}, x, parts, first, stream.counters(),
                                 found);
  });
}

// --- Statistics and y in one launch ------------------------------------------------------------------------------------------------------

constexpr size_t kOwnShared = 15 * 1024;  // bytes of static shared memory, at most

/// The blocks find the statistics as above, wait for the last block of their column, and compute y of the same rows: first those they kept.
template <class T>
__global__ void __launch_bounds__(kBlock, kResident) whole_kernel(Apply<T> call, Parts parts, unsigned* counters, Found found, int kept) {
  const int64_t channels = parts.channels;
  const int channel = first_channel<kOctet>();
  const Kept<T> rows(kept);
  const Walk start = Walk::in_stretch(parts.rows, parts.stretch, channels, channel);
  Moments<kOctet> mine{};
  if (channel < channels) {
    const Vector<float, kOctet> shift = shift_of<kOctet>(call.x + channel, parts.rows, channels);
    gather<kOctet, T>(mine, start, shift, [&](int i, int64_t at) {
      const Raw<T, kOctet> raw = load_channels<kOctet>(call.x + at);
      if (rows.has(i)) rows.put(i, raw);
      return raw;
    });
  }
  wait_for_last(finish(mine, call.x, parts, channel, counters, found), counters);
  if (channel >= channels) return;
  const ApplyFactors factors = apply_factors<true>(call, channel);
  constexpr int kRows = kApplyRows<T>;
  int i = 0;
  for (Walk walk = start; walk.left > 0; walk.go(kRows), i += kRows) {
    ApplyOperands<T> operands[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (k >= walk.left) continue;
      const int64_t at = walk.at + k * walk.step;
      operands[k].x = rows.has(i + k) ? rows.get(i + k) : load_channels<kOctet>(call.x + at);
      if (call.residual) operands[k].residual = load_channels<kOctet>(call.residual + at);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) apply_octet<true>(call, factors, operands[k], walk.at + k * walk.step, kOctet);
  }
}

/// False, and nothing is done, where one launch cannot do it.
template <class T>
bool run_whole(Stream& stream, const op::BatchNorm& call) {
  const Apply<T> apply = apply_of<T>(call.apply());
  if (!in_octets(apply) || apply.rows == 0) return false;
  const Plan<kOctet, T> plan(apply.rows, apply.channels);
  if (!runs_together(stream, plan.block, plan.stretches, kResident)) return false;
  const Scratch scratch(stream, plan.bytes(apply.channels));
  const Keeping<T> keeping(plan.block, plan.stretches, apply.channels, 1, kResident, kOwnShared);
  launch<whole_kernel<T>>(stream,
                          {.grid = dim3(plan.stretches.count, plan.block.blocks_across),
                           .block = plan.block.threads,
                           .shared_bytes = keeping.shared_bytes,
                           .together = true,
                           .read_again_bytes = keeping.read_again_bytes},
                          apply, plan.parts(scratch.as<float>(), apply.channels), stream.counters(), found_of(call.statistics),
                          keeping.rows);
  return true;
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormStatistics& call) {
  const int64_t rows = rows_of(call.x), channels = channels_of(call.x);
  if (channels == 0) return;
  const Found found = found_of(call);
  dispatch(call.x.dtype, "batch_norm_statistics", [&]<class T>() {
    const T* const x = call.x.data<T>();
    if (in_octets(channels, {x}))
      find_statistics<kOctet>(stream_, x, rows, channels, found);
    else
      find_statistics<1>(stream_, x, rows, channels, found);
  });
}

template <>
void CudaBackend::execute(const op::BatchNormApply& call);

template <>
void CudaBackend::execute(const op::BatchNorm& call) {
  bool done = call.statistics.x.numel() == 0;
  if (norm_launches() == 1 && !done)
    dispatch(call.statistics.x.dtype, "batch_norm", [&]<class T>() { done = run_whole<T>(stream_, call); });
  if (done) return;
  execute(call.statistics);
  execute(call.apply());
}

}  // namespace mirilla::MIRILLA_PLATFORM
