// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::relu(ConstView x, View y) {
  compute(y.dtype, "relu", [&]<class T>() {
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    for (int64_t i = 0; i < y.numel(); ++i) py[i] = px[i] < T(0) ? T(0) : px[i];  // written so that NaN stays NaN
  });
}

void ReferenceBackend::relu_backward(ConstView dy, ConstView y, View dx) {
  compute(dx.dtype, "relu_backward", [&]<class T>() {
    const T* const pdy = dy.data<T>();
    const T* const py = y.data<T>();
    T* const pdx = dx.data<T>();
    for (int64_t i = 0; i < dx.numel(); ++i) pdx[i] = py[i] <= T(0) ? T(0) : pdy[i];  // where y is NaN, dx = dy
  });
}

}  // namespace mirilla
