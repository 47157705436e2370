// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/pictures.h"
#include "kernels/cuda/parts/winner.h"

// y (N,P,Q,C) = the largest of each window of x (N,H,W,C), index (u8) its place in the window; padding never wins; equal values
// and NaN as in winner.h. Backward: dx = the sum of dy of the windows that an input won, f32, window by window in their
// order, rounded once.
//
// Bytes: forward reads x once from memory, again from the cache where windows overlap, and writes y and one byte per element. Backward
// gathers: each input checks the windows that cover it, so nothing is cleared, added atomically or written twice; it reads dy and index,
// and writes dx. Launch: one thread per 16-byte vector of channels of y (forward) or of dx (backward).
namespace mirilla::MIRILLA_PLATFORM {

namespace {

struct Pooling {
  Pictures x, y;
  int window, stride, padding;
};

// Window is the window's side where it is known at compile time, so that all its loads are issued at once; or 0.
template <class T, int N, int Window>
__global__ void max_pool2d_kernel(const T* __restrict__ x, Pooling p, T* __restrict__ y, uint8_t* __restrict__ index) {
  const int window = Window > 0 ? Window : p.window;
  for_each_vector<N>(p.y, [&](int n, int row, int column, int channel) {
    const int top = row * p.stride - p.padding, left = column * p.stride - p.padding;
    Candidate<int, OfNans::last> best[N];
#pragma unroll
    for (int i = 0; i < window; ++i)
#pragma unroll
      for (int j = 0; j < window; ++j) {
        if (top + i < 0 || top + i >= p.x.height || left + j < 0 || left + j >= p.x.width) continue;
        const auto values = widen(load<Vector<T, N>>(x + p.x.at(n, top + i, left + j) + channel));
        for (int k = 0; k < N; ++k) best[k].meet(values[k], i * window + j);
      }
    Vector<T, N> values;
    Vector<uint8_t, N> places;
    for (int k = 0; k < N; ++k) {
      values[k] = narrow<T>(best[k].value);
      places[k] = static_cast<uint8_t>(best[k].place);
    }
    const int64_t out = p.y.at(n, row, column) + channel;
    store(y + out, values);
    store(index + out, places);
  });
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
  return is_aligned(x.address, 16) && is_aligned(y.address, 16) && is_aligned(index.address, 16 / sizeof(T));
}

}  // namespace

template <>
void CudaBackend::execute(const op::MaxPool2d& call) {
  if (call.y.numel() == 0) return;
  const Pooling p = pooling(call.x, call.y, call.spec);
  dispatch(call.y.dtype, "max_pool2d", [&]<class T>() {
    dispatch_vector<T>(p.y.channels, vectors_fit<T>(call.x, call.y, call.index), [&]<int N>() {
      if (call.spec.window == 3)
        launch<max_pool2d_kernel<T, N, 3>>(stream_, shape_for(p.y, N), call.x.data<T>(), p, call.y.data<T>(), call.index.data<uint8_t>());
      else
        launch<max_pool2d_kernel<T, N, 0>>(stream_, shape_for(p.y, N), call.x.data<T>(), p, call.y.data<T>(), call.index.data<uint8_t>());
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
