// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/pool_down.h"

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

/// Windows of 3 x 3 every 2 pixels (parts/pool_down.h).
template <class T, int N, bool kIndex>
__global__ void __launch_bounds__(kBlock)
    max_pool2d_down_kernel(const T* __restrict__ x, Pooling p, int rows, T* __restrict__ y, uint8_t* __restrict__ index) {
  using Winner = PackedWinner<T, N, kIndex>;
  pool_down<Winner, N>(
      p, rows, y, index, [&](int) { return [x](int64_t offset, int place) { return Winner::of(x + offset, place); }; }, [](Winner&) {});
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
    launch<max_pool2d_down_kernel<T, N, kIndex>>(stream, shape_down(p.y, N, rows), call.x.data<T>(), p, rows, call.y.data<T>(), index);
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
