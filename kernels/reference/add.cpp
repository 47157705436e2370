// SPDX-License-Identifier: MIT
// add, multiply, scale and add_bias: one loop over the elements each.
#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Add& call) {
  compute(call.y.dtype, "add", [&]<class T>() {
    const T* const pa = call.a.data<T>();
    const T* const pb = call.b.data<T>();
    T* const py = call.y.data<T>();
    for (int64_t i = 0; i < call.y.numel(); ++i) py[i] = pa[i] + pb[i];
  });
}

template <>
void ReferenceBackend::execute(const op::Multiply& call) {
  compute(call.y.dtype, "multiply", [&]<class T>() {
    const T* const pa = call.a.data<T>();
    const T* const pb = call.b.data<T>();
    T* const py = call.y.data<T>();
    const bool one_factor = call.b.numel() == 1;
    for (int64_t i = 0; i < call.y.numel(); ++i) py[i] = pa[i] * pb[one_factor ? 0 : i];
  });
}

template <>
void ReferenceBackend::execute(const op::Scale& call) {
  compute(call.y.dtype, "scale", [&]<class T>() {
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    for (int64_t i = 0; i < call.y.numel(); ++i) py[i] = static_cast<T>(call.factor * px[i]);
  });
}

template <>
void ReferenceBackend::execute(const op::AddBias& call) {
  compute(call.y.dtype, "add_bias", [&]<class T>() {
    const auto [rows, width] = rows_of(call.x.shape);
    const T* const px = call.x.data<T>();
    const T* const pb = call.bias.data<T>();
    T* const py = call.y.data<T>();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < width; ++c) py[row * width + c] = px[row * width + c] + pb[c];
  });
}

}  // namespace mirilla
