// SPDX-License-Identifier: MIT
#include <bit>

#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/winner.h"

// sum: y () = the sum of all elements.  sum_rows: y (C) = the sum over all dimensions but the last.  argmax: x (N,C), y (N) i64.
//
// Sums are f32 and have a fixed order: a thread adds its share, a block adds its threads in a fixed order, and a second launch adds the
// blocks.
//
// Bytes: read n elements; also one float per block (sum) or C floats per block (sum_rows) are written and read again.
// Launch: sum     256 threads per block, four 16-byte accesses at once per thread, no more blocks than are resident.
//         rows    256 threads per block as (vectors of a row, rows), so that neighbours read neighbouring channels.
//         argmax  one warp per row.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kLoadsAtOnce = 4;

// Block b writes the sum of its share to y[b].
template <class T, class Y, bool Aligned>
__global__ void sum_kernel(const T* __restrict__ x, int64_t n, Y* __restrict__ y) {
  using V = Pack<T>;
  const int64_t step = threads_in_grid() * V::size;
  float lanes[V::size] = {};
  const auto add = [&](const V& v) {
    for (int k = 0; k < V::size; ++k) lanes[k] += widen(v[k]);
  };
  int64_t i = thread_in_grid() * V::size;
  if constexpr (Aligned)
    for (; i + (kLoadsAtOnce - 1) * step + V::size <= n; i += kLoadsAtOnce * step) {
      V v[kLoadsAtOnce];
#pragma unroll
      for (int l = 0; l < kLoadsAtOnce; ++l) v[l] = load<V>(x + i + l * step);
#pragma unroll
      for (int l = 0; l < kLoadsAtOnce; ++l) add(v[l]);
    }
  for (; i < n; i += step) add(load_where<V, Aligned>(x + i, n - i));  // missing elements read as 0
  float total = 0;
  for (const float lane : lanes) total += lane;
  __shared__ float room[kBlock / kWarpSize];
  total = block_sum(total, room);
  if (threadIdx.x == 0) y[blockIdx.x] = narrow<Y>(total);
}

template <class T, class Y>
void launch_sum(Stream& stream, unsigned blocks, const T* x, int64_t n, Y* y) {
  if (is_aligned(x, sizeof(Pack<T>)))
    launch<sum_kernel<T, Y, true>>(stream, {blocks, kBlock}, x, n, y);
  else
    launch<sum_kernel<T, Y, false>>(stream, {blocks, kBlock}, x, n, y);
}

// A block adds the rows [b, b + 1) rows_per_block, b = blockIdx.y, of blockDim.x vectors of N channels, into row b of y.
template <class T, int N, class Y>
__global__ void sum_rows_kernel(const T* __restrict__ x, int64_t rows, int64_t channels, int64_t rows_per_block, Y* __restrict__ y) {
  using V = Vector<T, N>;
  __shared__ float room[kBlock * N];
  const int64_t width = static_cast<int64_t>(blockDim.x) * N, first = blockIdx.x * width;
  const int64_t c = first + threadIdx.x * N, step = blockDim.y;
  const int64_t end = min(rows, (blockIdx.y + int64_t{1}) * rows_per_block);
  float sums[N] = {};
  const auto add = [&](const V& v) {
    for (int k = 0; k < N; ++k) sums[k] += widen(v[k]);
  };
  if (c < channels) {
    int64_t row = blockIdx.y * rows_per_block + threadIdx.y;
    for (; row + (kLoadsAtOnce - 1) * step < end; row += kLoadsAtOnce * step) {
      V v[kLoadsAtOnce];
#pragma unroll
      for (int l = 0; l < kLoadsAtOnce; ++l) v[l] = load<V>(x + (row + l * step) * channels + c);
#pragma unroll
      for (int l = 0; l < kLoadsAtOnce; ++l) add(v[l]);
    }
#pragma unroll 1
    for (; row < end; row += step) add(load<V>(x + row * channels + c));  // three at most
  }
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int k = 0; k < N; ++k) room[thread * N + k] = sums[k];
  __syncthreads();
  if (thread >= width || first + thread >= channels) return;
  float total = 0;
  constexpr int kAtOnce = kBlock / kWarpSize;  // a multiple of it: at most a warp goes across
#pragma unroll 1
  for (int group = 0; group < static_cast<int>(blockDim.y); group += kAtOnce)
#pragma unroll
    for (int g = 0; g < kAtOnce; ++g) total += room[(group + g) * width + thread];
  y[blockIdx.y * channels + first + thread] = narrow<Y>(total);
}

struct RowSum {
  LaunchShape shape;
  int64_t rows_per_block;
};

// `widest` limits the vectors of a row per block, and so the rows that a block reads at a time.
RowSum plan_row_sum(int64_t rows, int64_t vectors, unsigned widest, int64_t most_slabs) {
  const unsigned lanes = std::min(widest, std::bit_ceil(static_cast<unsigned>(std::min<int64_t>(vectors, widest))));
  const unsigned groups = kBlock / lanes;
  const int64_t tiles = ceil_div(vectors, lanes);
  const int64_t slabs =
      std::clamp<int64_t>(ceil_div(rows, int64_t{groups} * 2 * kLoadsAtOnce), 1, std::max<int64_t>(most_slabs / tiles, 1));
  const int64_t rows_per_block = std::max<int64_t>(ceil_div(rows, slabs), 1);
  const auto used = static_cast<unsigned>(std::max<int64_t>(ceil_div(rows, rows_per_block), 1));
  return {{{static_cast<unsigned>(tiles), used}, {lanes, groups}}, rows_per_block};
}

template <class T, int N, class Y>
void sum_rows_as(Stream& stream, const T* x, int64_t rows, int64_t channels, Y* y) {
  const int64_t resident = blocks_for(std::numeric_limits<int64_t>::max() / 2, kBlock, 1);
  const RowSum plan = plan_row_sum(rows, channels / N, kWarpSize, resident);
  const int64_t slabs = plan.shape.grid.y;
  if (slabs == 1) {
    launch<sum_rows_kernel<T, N, Y>>(stream, plan.shape, x, rows, channels, plan.rows_per_block, y);
    return;
  }
  constexpr int kWide = N > 1 ? 4 : 1;  // of floats; N is a multiple of it
  const Scratch partial(stream, static_cast<size_t>(slabs * channels) * sizeof(float));
  launch<sum_rows_kernel<T, N, float>>(stream, plan.shape, x, rows, channels, plan.rows_per_block, partial.as<float>());
  const RowSum rest = plan_row_sum(slabs, channels / kWide, kWarpSize / 4, 1);
  launch<sum_rows_kernel<float, kWide, Y>>(stream, rest.shape, partial.as<float>(), slabs, channels, rest.rows_per_block, y);
}

template <class T>
__global__ void argmax_kernel(const T* __restrict__ x, int64_t rows, int64_t channels, int64_t* __restrict__ y) {
  const int64_t row = thread_in_grid() / kWarpSize;
  if (row >= rows) return;  // true for a whole warp or for none of it
  const int64_t lane = threadIdx.x % kWarpSize;
  Candidate<int64_t, OfNans::first> best;
  for (int64_t c = lane; c < channels; c += kWarpSize) best.meet(widen(x[row * channels + c]), c);
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    const float value = __shfl_xor_sync(kFullMask, best.value, lanes);
    best.meet(value, __shfl_xor_sync(kFullMask, best.place, lanes));
  }
  if (lane == 0) y[row] = best.place;
}

// Calls f<T, Y>() where y has x's dtype or, for a half x, f32.
template <class F>
void dispatch_sum(const ConstView& x, const View& y, std::string_view operation, F&& f) {
  dispatch(x.dtype, operation, [&]<class T>() {
    if (y.dtype == x.dtype)
      f.template operator()<T, T>();
    else
      f.template operator()<T, float>();
  });
}

}  // namespace

template <>
void CudaBackend::execute(const op::Sum& call) {
  dispatch_sum(call.x, call.y, "sum", [&]<class T, class Y>() {
    const int64_t n = call.x.numel();
    const unsigned blocks = blocks_for(n, int64_t{kBlock} * Pack<T>::size * kLoadsAtOnce, 1);
    if (blocks == 1) return launch_sum(stream_, 1, call.x.data<T>(), n, call.y.data<Y>());
    const Scratch partial(stream_, blocks * sizeof(float));
    launch_sum(stream_, blocks, call.x.data<T>(), n, partial.as<float>());
    // Fewer numbers than there are threads: vectors of them gain nothing.
    launch<sum_kernel<float, Y, false>>(stream_, {1, kBlock}, static_cast<const float*>(partial.as<float>()), int64_t{blocks},
                                        call.y.data<Y>());
  });
}

template <>
void CudaBackend::execute(const op::SumRows& call) {
  const int64_t rows = rows_of(call.x), channels = channels_of(call.x);
  if (channels == 0) return;
  dispatch_sum(call.x, call.y, "sum_rows", [&]<class T, class Y>() {
    constexpr int kCount = Pack<T>::size;
    if (channels % kCount == 0 && is_aligned(call.x.address, sizeof(Pack<T>)))
      sum_rows_as<T, kCount>(stream_, call.x.data<T>(), rows, channels, call.y.data<Y>());
    else
      sum_rows_as<T, 1>(stream_, call.x.data<T>(), rows, channels, call.y.data<Y>());
  });
}

template <>
void CudaBackend::execute(const op::Argmax& call) {
  const int64_t rows = rows_of(call.x);
  if (rows == 0) return;
  dispatch(call.x.dtype, "argmax", [&]<class T>() {
    const auto blocks = static_cast<unsigned>(ceil_div(rows, kBlock / kWarpSize));
    launch<argmax_kernel<T>>(stream_, {blocks, kBlock}, call.x.data<T>(), rows, channels_of(call.x), call.y.data<int64_t>());
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
