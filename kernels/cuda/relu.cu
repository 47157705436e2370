// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/elementwise.h"

// y = max(x, 0), NaN stays NaN;  dx = 0 where y <= 0, else dy.
//
// Bytes: forward read n, write n elements; backward read 2n, write n. Bandwidth kernels, with almost no arithmetic.
// Launch: 256 threads per block, two 16-byte accesses per thread and tensor.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
struct Relu {
  template <int N>
  __device__ Vector<T, N> operator()(int64_t, Vector<T, N> x) const {
    for (T& e : x)
      if (widen(e) < 0) e = narrow<T>(0.0f);  // written so that NaN stays NaN
    return x;
  }
};

template <class T>
struct ReluBackward {
  template <int N>
  __device__ Vector<T, N> operator()(int64_t, Vector<T, N> dy, const Vector<T, N>& y) const {
    for (int k = 0; k < N; ++k)
      if (widen(y[k]) <= 0) dy[k] = narrow<T>(0.0f);  // where y is NaN, dx = dy
    return dy;
  }
};

}  // namespace

void CudaBackend::relu(ConstView x, View y) {
  dispatch(x.dtype, "relu", [&]<class T>() { map(stream_, x.numel(), Relu<T>(), y.data<T>(), x.data<T>()); });
}

void CudaBackend::relu_backward(ConstView dy, ConstView y, View dx) {
  dispatch(dy.dtype, "relu_backward",
           [&]<class T>() { map(stream_, dy.numel(), ReluBackward<T>(), dx.data<T>(), dy.data<T>(), y.data<T>()); });
}

}  // namespace mirilla::MIRILLA_PLATFORM
