// SPDX-License-Identifier: MIT
#include "kernels/cuda/common.h"

// y = max(x, 0), NaN stays NaN;  dx = dy where y > 0, else 0.
//
// Bytes: forward read n, write n elements; backward read 2n, write n. Bandwidth kernels, with next to no arithmetic.
// Launch: 256 threads a block, one 16-byte access a thread and tensor, grid-stride so that any n fits.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
__global__ void relu_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t n) {
  using V = Pack<T>;
  for (int64_t i = thread_in_grid() * V::size; i < n; i += threads_in_grid() * V::size) {
    V v = load<V>(x + i, n - i);  // the last one may be short
    for (T& e : v)
      if (widen(e) < 0) e = narrow<T>(0.0f);  // written so that NaN passes
    store(y + i, v, n - i);
  }
}

template <class T>
__global__ void relu_backward_kernel(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, int64_t n) {
  using V = Pack<T>;
  for (int64_t i = thread_in_grid() * V::size; i < n; i += threads_in_grid() * V::size) {
    V gradient = load<V>(dy + i, n - i);
    const V value = load<V>(y + i, n - i);
    for (int k = 0; k < V::size; ++k)
      if (!(widen(value[k]) > 0)) gradient[k] = narrow<T>(0.0f);
    store(dx + i, gradient, n - i);
  }
}

}  // namespace

void CudaBackend::relu(ConstView x, View y) {
  const int64_t n = x.numel();
  if (n == 0) return;
  dispatch(x.dtype, "relu", [&]<class T>() {
    launch<relu_kernel<T>>(stream_, {blocks_for(n, kBlock * Pack<T>::size), kBlock}, x.data<T>(), y.data<T>(), n);
  });
}

void CudaBackend::relu_backward(ConstView dy, ConstView y, View dx) {
  const int64_t n = dy.numel();
  if (n == 0) return;
  dispatch(dy.dtype, "relu_backward", [&]<class T>() {
    launch<relu_backward_kernel<T>>(stream_, {blocks_for(n, kBlock * Pack<T>::size), kBlock}, dy.data<T>(), y.data<T>(), dx.data<T>(), n);
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
