// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/pictures.h"
#include "kernels/cuda/parts/winner.h"

// Cell (i,j) of y (N,h,w,C) covers rows floor(i H/h) .. ceil((i+1) H/h) of x (N,H,W,C), columns likewise; cells may overlap. The average is
// their mean, the maximum their largest with its row * W + column (i64); equal values and NaN as in winner.h. The
// concatenation is (N,h,w,2C) = [max, average] in one pass over x. Backward: dx = the sum, cell by cell in their order, of dy / area and of
// dy where dx's element won. Sums are f32 and rounded once.
//
// Bytes: forward reads x once and writes y (and 8 bytes per index); backward reads dy and index, from the cache except the first time, and
// writes dx once: it gathers, so there is nothing to clear and nothing to add atomically.
// Launch: forward   one block per cell and up to 32 vectors of channels; its 256 threads divide the cell's pixels.
//         backward  one thread per 16-byte vector of dx.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

// [begin, end) of `length` that piece i of `pieces` covers. Conversely, the pieces that cover element i are
// span_of(i, pieces, length).
struct Span {
  int begin, end;
};
__device__ __forceinline__ Span span_of(int i, int length, int pieces) {
  const auto at = static_cast<unsigned>(i), n = static_cast<unsigned>(length), parts = static_cast<unsigned>(pieces);
  return {static_cast<int>(at * n / parts), static_cast<int>(((at + 1) * n + parts - 1) / parts)};
}

// The cells of one call: C channels each, and their positions in y, whose cells lie `pitch` apart.
template <class T>
struct Cells {
  Pictures cells;
  int pitch;
  T* largest;
  T* average;
};

// Groups of threads that divide a cell's pixels are a power of two, and a cell of one pixel is reckoned as 2 x 2.
constexpr int kFewestGroups = 4;

template <class T, int N, bool Max, bool Average>
__global__ void adaptive_pool2d_kernel(const T* __restrict__ x, Pictures p, Cells<T> y, int64_t* __restrict__ index) {
  __shared__ float sums[Average ? kBlock * N : 1], values[Max ? kBlock * N : 1];
  __shared__ int places[Max ? kBlock * N : 1];
  const int lanes = static_cast<int>(blockDim.x), groups = static_cast<int>(blockDim.y), width = lanes * N;
  const int group = static_cast<int>(threadIdx.y), thread = group * lanes + static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.y) * width, channel = first + static_cast<int>(threadIdx.x) * N;
  const int64_t cell = blockIdx.x;
  const int in_a_picture = y.cells.height * y.cells.width;  // check_sides: all cells together are fewer than 2^31
  const int n = static_cast<int>(blockIdx.x) / in_a_picture, at = static_cast<int>(blockIdx.x) % in_a_picture;
  const int i = at / y.cells.width, j = at % y.cells.width;
  const Span rows = span_of(i, p.height, y.cells.height), columns = span_of(j, p.width, y.cells.width);
  float sum[N] = {};
  Candidate<int, OfNans::last> best[N];
  int row = rows.begin, column = columns.begin + group;
  while (channel < p.channels) {
    for (; column >= columns.end; column -= columns.end - columns.begin) ++row;
    if (row >= rows.end) break;
    const auto v = widen(load<Vector<T, N>>(x + p.at(n, row, column) + channel));
    for (int k = 0; k < N; ++k) {
      if (Average) sum[k] += v[k];
      if (Max) best[k].meet(v[k], row * p.width + column);
    }
    column += groups;
  }
  for (int k = 0; k < N; ++k) {
    if (Average) sums[thread * N + k] = sum[k];
    if (Max) values[thread * N + k] = best[k].value, places[thread * N + k] = best[k].place;
  }
  __syncthreads();
  for (int c = thread; c < width && first + c < p.channels; c += lanes * groups) {
    float total = 0;
    Candidate<int, OfNans::last> winner;
    int g = 0;
    do {
#pragma unroll
      for (int k = 0; k < kFewestGroups; ++k) {
        const int from = (g + k) * width + c;
        if (Average) total += sums[from];
        if (Max) winner.meet(values[from], places[from]);
      }
      g += kFewestGroups;
    } while (g < groups);
    const int area = (rows.end - rows.begin) * (columns.end - columns.begin);
    if (Average) y.average[cell * y.pitch + first + c] = narrow<T>(total / static_cast<float>(area));
    if (Max) {
      y.largest[cell * y.pitch + first + c] = narrow<T>(winner.value);
      index[cell * p.channels + first + c] = winner.place;
    }
  }
}

template <class T, int N, bool Max, bool Average>
__global__ void adaptive_pool2d_backward_kernel(Cells<const T> dy, const int64_t* __restrict__ index, Pictures p, T* __restrict__ dx) {
  for_each_vector<N>(p, [&](int n, int row, int column, int channel) {
    const Span down = span_of(row, dy.cells.height, p.height), right = span_of(column, dy.cells.width, p.width);
    Vector<float, N> sum{};
    for (int i = down.begin; i < down.end; ++i)
      for (int j = right.begin; j < right.end; ++j) {
        const int64_t cell = (static_cast<int64_t>(n) * dy.cells.height + i) * dy.cells.width + j;
        if (Average) {
          const Span rows = span_of(i, p.height, dy.cells.height), columns = span_of(j, p.width, dy.cells.width);
          const float share = 1.0f / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
          const auto gradient = widen(load<Vector<T, N>>(dy.average + cell * dy.pitch + channel));
          for (int k = 0; k < N; ++k) sum[k] += gradient[k] * share;
        }
        if (Max) {
          const auto gradient = widen(load<Vector<T, N>>(dy.largest + cell * dy.pitch + channel));
          const auto winner = load<Vector<int64_t, N>>(index + cell * p.channels + channel);
          for (int k = 0; k < N; ++k)
            if (winner[k] == row * p.width + column) sum[k] += gradient[k];
        }
      }
    store(dx + p.at(n, row, column) + channel, narrow_all<T>(sum));
  });
}

// Spans are computed in 32 bits, and a grid has at most as many blocks as 32 bits can count.
void check_sides(const ConstView& x, const ConstView& y) {
  if (rows_of(y) > std::numeric_limits<int32_t>::max())
    throw DeviceError(fmt::format("the device '{}' pools to at most 2^31 - 1 cells and {} were asked for", kDeviceName, rows_of(y)),
                      "split the batch");
  for (int side : {1, 2})
    if ((x.shape[side] + 1) * (y.shape[side] + 1) > std::numeric_limits<int32_t>::max())
      throw DeviceError(fmt::format("the device '{}' pools a side of {} to {} cells only where their product is below 2^31", kDeviceName,
                                    x.shape[side], y.shape[side]),
                        "pool it in two steps");
}

// With both, y is [max, average]; otherwise y is the one that is set.
template <class T, bool Max, bool Average, class V>
Cells<T> cells_of(const V& y, int channels) {
  T* const start = y.template data<std::remove_const_t<T>>();
  Pictures cells = pictures(y);
  cells.channels = channels;
  return {cells, Max && Average ? 2 * channels : channels, start, Max && Average ? start + channels : start};
}

template <bool Max, bool Average>
void pool(Stream& stream, std::string_view operation, const ConstView& x, const View& y, const View& index) {
  if (y.numel() == 0) return;
  check_sides(x, y);
  const Pictures p = pictures(x);
  dispatch(y.dtype, operation, [&]<class T>() {
    const Cells<T> cells = cells_of<T, Max, Average>(y, p.channels);
    dispatch_vector<T>(p.channels, is_aligned(x.address, 16), [&]<int N>() {
      const auto vectors = static_cast<unsigned>(p.channels / N);
      const unsigned lanes = std::min(unsigned{kWarpSize}, std::bit_ceil(vectors));
      const int64_t area = (ceil_div(p.height, cells.cells.height) + 1) * (ceil_div(p.width, cells.cells.width) + 1);
      const unsigned groups = std::min(kBlock / lanes, std::bit_floor(static_cast<unsigned>(area)));
      const int64_t blocks = int64_t{cells.cells.count} * cells.cells.height * cells.cells.width;
      const LaunchShape shape{{static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(vectors, lanes))}, {lanes, groups}};
      launch<adaptive_pool2d_kernel<T, N, Max, Average>>(stream, shape, x.data<T>(), p, cells, data_or_null<int64_t>(index));
    });
  });
}

template <bool Max, bool Average>
void pool_backward(Stream& stream, std::string_view operation, const ConstView& dy, const ConstView& index, const View& dx) {
  if (dx.numel() == 0) return;
  check_sides(dx, dy);
  const Pictures p = pictures(dx);
  dispatch(dx.dtype, operation, [&]<class T>() {
    const Cells<const T> cells = cells_of<const T, Max, Average>(dy, p.channels);
    const bool aligned =
        is_aligned(dy.address, 16) && is_aligned(dx.address, 16) && is_aligned(index.address, 16 / sizeof(T) * sizeof(int64_t));
    dispatch_vector<T>(p.channels, aligned, [&]<int N>() {
      launch<adaptive_pool2d_backward_kernel<T, N, Max, Average>>(stream, shape_for(p, N), cells, data_or_null<int64_t>(index), p,
                                                                  dx.data<T>());
    });
  });
}

}  // namespace

template <>
void CudaBackend::execute(const op::AdaptiveAvgPool2d& call) {
  pool<false, true>(stream_, "adaptive_avg_pool2d", call.x, call.y, {});
}
template <>
void CudaBackend::execute(const op::AdaptiveAvgPool2dBackward& call) {
  pool_backward<false, true>(stream_, "adaptive_avg_pool2d_backward", call.dy, {}, call.dx);
}

template <>
void CudaBackend::execute(const op::AdaptiveMaxPool2d& call) {
  pool<true, false>(stream_, "adaptive_max_pool2d", call.x, call.y, call.index);
}
template <>
void CudaBackend::execute(const op::AdaptiveMaxPool2dBackward& call) {
  pool_backward<true, false>(stream_, "adaptive_max_pool2d_backward", call.dy, call.index, call.dx);
}

template <>
void CudaBackend::execute(const op::AdaptiveConcatPool2d& call) {
  pool<true, true>(stream_, "adaptive_concat_pool2d", call.x, call.y, call.index);
}
template <>
void CudaBackend::execute(const op::AdaptiveConcatPool2dBackward& call) {
  pool_backward<true, true>(stream_, "adaptive_concat_pool2d_backward", call.dy, call.index, call.dx);
}

}  // namespace mirilla::MIRILLA_PLATFORM
