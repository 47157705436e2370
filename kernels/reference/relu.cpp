// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Relu& call) {
  compute(call.y.dtype, "relu", [&]<class T>() {
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    for (int64_t i = 0; i < call.y.numel(); ++i) py[i] = px[i] < T(0) ? T(0) : px[i];  // written so that NaN stays NaN
  });
}

template <>
void ReferenceBackend::execute(const op::ReluBackward& call) {
  compute(call.dx.dtype, "relu_backward", [&]<class T>() {
    const T* const pdy = call.dy.data<T>();
    const T* const py = call.y.data<T>();
    T* const pdx = call.dx.data<T>();
    for (int64_t i = 0; i < call.dx.numel(); ++i) pdx[i] = py[i] <= T(0) ? T(0) : pdy[i];  // where call.y is NaN, call.dx = call.dy
  });
}

}  // namespace mirilla
