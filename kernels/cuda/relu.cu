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

template <>
void CudaBackend::execute(const op::Relu& call) {
  dispatch(call.x.dtype, "relu", [&]<class T>() { map(stream_, call.x.numel(), Relu<T>(), call.y.data<T>(), call.x.data<T>()); });
}

template <>
void CudaBackend::execute(const op::ReluBackward& call) {
  dispatch(call.dy.dtype, "relu_backward",
           [&]<class T>() { map(stream_, call.dy.numel(), ReluBackward<T>(), call.dx.data<T>(), call.dy.data<T>(), call.y.data<T>()); });
}

}  // namespace mirilla::MIRILLA_PLATFORM
