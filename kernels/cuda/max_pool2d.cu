// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/packed_winner.h"
#include "kernels/cuda/parts/pictures.h"

// y (N,P,Q,C) = the largest of each window of x (N,H,W,C), index (u8, where wanted) its place in the window; padding never wins; equal
// values and NaN as in winner.h. Backward: dx = the sum of dy of the windows that an input won, f32, window by window in their order,
// rounded once.
//
// Bytes: forward reads x once from memory, again from the cache where windows overlap, and writes y and, where wanted, one byte per
// element. Backward gathers: each input checks the windows that cover it, so nothing is cleared, added atomically or written twice; it
// reads dy and index, and writes dx. Launch: one thread per 16-byte vector of channels of y (forward), or of dx (backward); where the
// window is 3 and the stride 2, as in ResNet, one thread for several rows of y.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

struct Pooling {
  Pictures x, y;
  int window, stride, padding;
};

/// Any window: a loop over the part of it that lies in the picture.
template <class T, int N, bool kIndex>
__global__ void max_pool2d_kernel(const T* __restrict__ x, Pooling p, T* __restrict__ y, uint8_t* __restrict__ index) {
  for_each_vector<N>(p.y, [&](int n, int row, int column, int channel) {
    using Winner = PackedWinner<T, N, kIndex>;
    const int top = row * p.stride - p.padding, left = column * p.stride - p.padding;
    const int first_i = max(0, -top), first_j = max(0, -left);
    const int end_i = min(p.window, p.x.height - top), end_j = min(p.window, p.x.width - left);
    const auto at = [&](int i, int j) { return Winner::of(x + p.x.at(n, top + i, left + j) + channel, i * p.window + j); };
    Winner best = at(first_i, first_j);
#pragma unroll 1
    for (int i = first_i; i < end_i; ++i)
#pragma unroll 1
      for (int j = first_j; j < end_j; ++j) best.meet(at(i, j));
    const int64_t out = p.y.at(n, row, column) + channel;
    best.store_to(y + out, index + out);
  });
}

constexpr int kSide = 3, kStep = 2;    // window and stride of the kernel below; the padding is then 0 or 1
constexpr int kMostRowsPerThread = 8;  // of y: its thread then reads 17 rows of x, one of which another thread reads too

/// Windows of 3 x 3 every 2 pixels. A thread goes down `rows` rows of y and finds the winner of three neighbours in each row of x once:
/// where windows overlap, it is that of one's last row and of the next one's first. Threads side by side share columns through the first
/// cache.
///
/// A row or column outside of the picture is replaced by its neighbour inside, with the neighbour's place: a pixel that meets itself
/// changes nothing, so there is no branch for it, and padding cannot win. Only the first and the last of a window's three can be outside.
template <class T, int N, bool kIndex>
__global__ void __launch_bounds__(kBlock)
    max_pool2d_down_kernel(const T* __restrict__ x, Pooling p, int rows, T* __restrict__ y, uint8_t* __restrict__ index) {
  for_each_column<N>(p.y, [&](int n, int column, int channel) {
    using Winner = PackedWinner<T, N, kIndex>;
    const int left = column * kStep - p.padding, first = max(left, 0), last = min(left + kSide - 1, p.x.width - 1);
    const int64_t pitch = int64_t{p.x.width} * p.x.channels;
    const int64_t to_middle = (left + 1 - first) * p.x.channels, to_last = (last - first) * p.x.channels;
    const auto across = [&](const T* from, int place) {
      Winner best = Winner::of(from, place + first - left);
      best.meet(Winner::of(from + to_middle, place + 1));
      best.meet(Winner::of(from + to_last, place + last - left));
      return best;
    };
    const int begin = static_cast<int>(blockIdx.y) * rows, end = min(begin + rows, p.y.height);
    int64_t out = p.y.at(n, begin, column) + channel;
    const T* const picture = x + p.x.at(n, 0, first) + channel;
    Winner best;  // of the rows of the window so far; not before the first
#pragma unroll 1
    for (int row = begin;; ++row) {
      const int top = row * kStep - p.padding, shared = min(max(top, 0), p.x.height - 1);
      Winner edge = across(picture + shared * pitch, 0);
      edge.move_places((shared - top) * kSide);
      if (row > begin) {
        best.meet(edge, kStep * kSide);
        best.store_to(y + out, index + out);
        out += int64_t{p.y.width} * p.y.channels;
        if (row == end) break;
      }
      best = edge;
      best.meet(across(picture + (top + 1) * pitch, kSide));
    }
  });
}

/// How many rows of y a thread takes: as many as leave every multiprocessor a few blocks, and a grid that is not too high.
int rows_per_thread(const Pictures& y, int vector) {
  constexpr int64_t kBlocksPerMultiprocessor = 4;
  const LaunchShape shape = shape_for(y, vector);
  const int64_t blocks = int64_t{shape.grid.x} * y.height * y.count;
  const int64_t rows = std::clamp<int64_t>(blocks / (facts().multiprocessors * kBlocksPerMultiprocessor), 1, kMostRowsPerThread);
  return static_cast<int>(std::max(rows, ceil_div(y.height, kLargestGridSide)));
}

template <class T, int N>
__global__ void max_pool2d_backward_kernel(const T* __restrict__ dy, const uint8_t* __restrict__ index, Pooling p, T* __restrict__ dx) {
  for_each_vector<N>(p.x, [&](int n, int row, int column, int channel) {
    // Window i covers the rows i stride - padding and window - 1 more.
    const int down = row + p.padding, right = column + p.padding;
    const int first_i = down < p.window ? 0 : (down - p.window) / p.stride + 1, last_i = min(down / p.stride, p.y.height - 1);
    const int first_j = right < p.window ? 0 : (right - p.window) / p.stride + 1, last_j = min(right / p.stride, p.y.width - 1);
    Vector<float, N> sum{};
    for (int i = first_i; i <= last_i; ++i)
      for (int j = first_j; j <= last_j; ++j) {
        const int64_t from = p.y.at(n, i, j) + channel;
        const auto gradient = widen(load<Vector<T, N>>(dy + from));
        const auto winner = load<Vector<uint8_t, N>>(index + from);
        const int place = (down - i * p.stride) * p.window + right - j * p.stride;
        for (int k = 0; k < N; ++k)
          if (winner[k] == place) sum[k] += gradient[k];
      }
    store(dx + p.x.at(n, row, column) + channel, narrow_all<T>(sum));
  });
}

Pooling pooling(const ConstView& x, const ConstView& y, const Pool2dSpec& spec) {
  return {pictures(x), pictures(y), spec.window, spec.stride, spec.padding};
}

template <class T>
bool vectors_fit(const ConstView& x, const ConstView& y, const ConstView& index) {
  return is_aligned(x.address, 16) && is_aligned(y.address, 16) && is_aligned(index.address, 16 / sizeof(T));  // null where absent
}

template <class T, int N, bool kIndex>
void pool(Stream& stream, const op::MaxPool2d& call) {
  const Pooling p = pooling(call.x, call.y, call.spec);
  auto* const index = data_or_null<uint8_t>(call.index);
  if (p.window == kSide && p.stride == kStep) {
    const int rows = rows_per_thread(p.y, N);
    LaunchShape shape = shape_for(p.y, N);
    shape.grid.y = static_cast<unsigned>(ceil_div(p.y.height, rows));
    launch<max_pool2d_down_kernel<T, N, kIndex>>(stream, shape, call.x.data<T>(), p, rows, call.y.data<T>(), index);
  } else {
    launch<max_pool2d_kernel<T, N, kIndex>>(stream, shape_for(p.y, N), call.x.data<T>(), p, call.y.data<T>(), index);
  }
}

}  // namespace

template <>
void CudaBackend::execute(const op::MaxPool2d& call) {
  if (call.y.numel() == 0) return;
  dispatch(call.y.dtype, "max_pool2d", [&]<class T>() {
    dispatch_vector<T>(channels_of(call.y), vectors_fit<T>(call.x, call.y, call.index), [&]<int N>() {
      if (call.index)
        pool<T, N, true>(stream_, call);
      else
        pool<T, N, false>(stream_, call);
    });
  });
}

template <>
void CudaBackend::execute(const op::MaxPool2dBackward& call) {
  if (call.dx.numel() == 0) return;
  const Pooling p = pooling(call.dx, call.dy, call.spec);
  dispatch(call.dx.dtype, "max_pool2d_backward", [&]<class T>() {
    dispatch_vector<T>(p.x.channels, vectors_fit<T>(call.dx, call.dy, call.index), [&]<int N>() {
      launch<max_pool2d_backward_kernel<T, N>>(stream_, shape_for(p.x, N), call.dy.data<T>(), call.index.data<uint8_t>(), p,
                                               call.dx.data<T>());
    });
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
