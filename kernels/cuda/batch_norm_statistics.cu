// SPDX-License-Identifier: MIT
#include "kernels/cuda/batch_norm.h"

// mean = 1/n sum x, inv_std = 1 / sqrt(1/n sum (x - mean)^2 + eps) of each channel; also the running statistics. Sums are f32 for every
// dtype.
//
// One read. A thread takes a few rows at a time, finds their mean and their sum of squares about it in registers, and merges that into what
// it has; threads, and then blocks, are merged by the same formula. E[x^2] - E[x]^2 would also need one read, but cancels: for channels
// with mean 1000 and deviation 0.01 no digit would be left. To keep the digits of the mean too, everything is relative to a value of the
// channel itself. A channel whose moments are not finite in f32, because of its values or because their squares are too large, is summed
// again in f64, by one block in two reads: its mean is then infinite or NaN as its values demand, and a finite variance is not lost.
//
// Bytes: read n elements once; the parts are 8 bytes per channel and block.
// Launch: blocks of up to 256 threads, channels along x and rows along y, as many as run at the same time; then one small block for 8
// channels.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kResident = 4;  // blocks per multiprocessor, with 64 registers per thread

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

/// Loads K rows, `step` elements apart.
template <int K, int W, class T>
__device__ __forceinline__ Moments<W> moments_of(const T* x, int64_t step, const Vector<float, W>& shift) {
  Vector<float, W> rows[K];
#pragma unroll
  for (int k = 0; k < K; ++k) rows[k] = widen(load_channels<W>(x + k * step));
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

template <int W, class T>
__global__ void __launch_bounds__(kBlock, kResident)
    moments_kernel(const T* __restrict__ x, int64_t rows, int64_t stretch, int64_t channels, float* __restrict__ means,
                   float* __restrict__ squares) {
  __shared__ Moments<W> room[kBlock];
  const int channel = first_channel<W>();
  Moments<W> mine{};
  if (channel < channels) {
    const Vector<float, W> shift = shift_of<W>(x + channel, rows, channels);
    constexpr int kRows = kRowsAtOnce<T>;
    Walk walk = Walk::in_stretch(rows, stretch, channels, channel);
    for (; walk.left >= kRows; walk.go(kRows)) mine.merge(moments_of<kRows>(x + walk.at, walk.step, shift));
    for (; walk.left > 0; walk.go(1)) mine.merge(moments_of<1>(x + walk.at, walk.step, shift));
  }
  merge_rows(mine, room);
  if (threadIdx.y == 0 && channel < channels) {
    store(means + blockIdx.x * channels + channel, mine.mean);
    store(squares + blockIdx.x * channels + channel, mine.squares);
  }
}

struct Found {
  float *mean, *inv_std;
  float *running_mean, *running_var;  // may be null
  float eps, keep, momentum, momentum_var;
};

struct Sum {
  double value;
  __device__ void merge(const Sum& other) { value += other.value; }
};

/// The sum of f(x) over a channel's rows, in f64, for its threads with threadIdx.y = 0. All threads of the block must call it.
template <class T, class F>
__device__ double sum_channel(const T* x, int64_t rows, int64_t channels, int c, Sum* room, F&& f) {
  Sum mine{};
  if (c < channels)
    for (int64_t row = threadIdx.y; row < rows; row += blockDim.y) mine.value += f(static_cast<double>(widen(x[row * channels + c])));
  merge_rows(mine, room);
  __syncthreads();
  return room[threadIdx.x].value;  // of threadIdx.y = 0
}

/// Computes the statistics from the blocks' parts. With no rows they are NaN.
template <class T>
__global__ void statistics_kernel(const T* __restrict__ x, const float* __restrict__ means, const float* __restrict__ squares, int parts,
                                  int64_t rows, int64_t stretch, int64_t channels, Found found) {
  __shared__ Moments<1> room[kBlock];
  const int c = first_channel<1>();
  Moments<1> mine{};
  if (c < channels)
    for (int part = static_cast<int>(threadIdx.y); part < parts; part += static_cast<int>(blockDim.y)) {
      const auto count = static_cast<float>(min(stretch, rows - part * stretch));
      mine.merge({count, {means[part * channels + c]}, {squares[part * channels + c]}});
    }
  merge_rows(mine, room);
  float var = mine.squares[0] / static_cast<float>(rows);
  float mean = rows > 0 && c < channels ? shift_of<1>(x + c, rows, channels)[0] + mine.mean[0] : var;
  float inv_std = 1.0f / sqrtf(var + found.eps);
  const bool lost = rows > 0 && c < channels && threadIdx.y == 0 && !(isfinite(mean) && isfinite(var));
  if (__syncthreads_or(lost)) {
    __shared__ Sum wide_room[kBlock];
    const double wide_mean = sum_channel(x, rows, channels, c, wide_room, [](double v) { return v; }) / static_cast<double>(rows);
    __syncthreads();
    const double wide_var = sum_channel(x, rows, channels, c, wide_room, [&](double v) { return (v - wide_mean) * (v - wide_mean); }) /
                            static_cast<double>(rows);
    if (lost) {
      mean = static_cast<float>(wide_mean);
      var = static_cast<float>(wide_var);
      inv_std = static_cast<float>(1 / sqrt(wide_var + double{found.eps}));
    }
  }
  if (threadIdx.y > 0 || c >= channels) return;
  found.mean[c] = mean;
  found.inv_std[c] = inv_std;
  if (!found.running_mean) return;
  found.running_mean[c] = fmaf(found.momentum, mean, found.keep * found.running_mean[c]);
  found.running_var[c] = fmaf(found.momentum_var, var, found.keep * found.running_var[c]);
}

template <int W, class T>
void find_statistics(Stream& stream, const T* x, int64_t rows, int64_t channels, const Found& found) {
  const RowBlock block(channels, W);
  const Stretches parts(rows, block, kRowsAtOnce<T>, kResident);
  const Scratch scratch(stream, size_t{2} * parts.count * static_cast<size_t>(channels) * sizeof(float));
  float* const means = scratch.as<float>();
  float* const squares = means + parts.count * channels;
  if (rows > 0)
    launch<moments_kernel<W, T>>(stream, {dim3(parts.count, block.blocks_across), block.threads}, x, rows, parts.stretch, channels, means,
                                 squares);
  launch<statistics_kernel<T>>(stream, shape_for_parts(channels, parts.count), x, means, squares, static_cast<int>(parts.count), rows,
                               parts.stretch, channels, found);
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormStatistics& call) {
  const int64_t rows = rows_of(call.x), channels = channels_of(call.x);
  if (channels == 0) return;
  const auto n = static_cast<double>(rows);
  const Found found{.mean = call.mean.data<float>(),
                    .inv_std = call.inv_std.data<float>(),
                    .running_mean = data_or_null<float>(call.running_mean),
                    .running_var = data_or_null<float>(call.running_var),
                    .eps = static_cast<float>(call.eps),
                    .keep = static_cast<float>(1 - call.momentum),
                    .momentum = static_cast<float>(call.momentum),
                    .momentum_var = static_cast<float>(call.momentum * n / (n - 1))};
  dispatch(call.x.dtype, "batch_norm_statistics", [&]<class T>() {
    const T* const x = call.x.data<T>();
    if (in_octets(channels, {x}))
      find_statistics<kOctet>(stream_, x, rows, channels, found);
    else
      find_statistics<1>(stream_, x, rows, channels, found);
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
