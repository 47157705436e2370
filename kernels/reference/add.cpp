// SPDX-License-Identifier: MIT
// add, multiply, scale and fill: one loop over the elements each.
#include <algorithm>

#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::add(ConstView a, ConstView b, View y) {
  compute(y.dtype, "add", [&]<class T>() {
    const T* const pa = a.data<T>();
    const T* const pb = b.data<T>();
    T* const py = y.data<T>();
    for (int64_t i = 0; i < y.numel(); ++i) py[i] = pa[i] + pb[i];
  });
}

void ReferenceBackend::multiply(ConstView a, ConstView b, View y) {
  compute(y.dtype, "multiply", [&]<class T>() {
    const T* const pa = a.data<T>();
    const T* const pb = b.data<T>();
    T* const py = y.data<T>();
    const bool one_factor = b.numel() == 1;
    for (int64_t i = 0; i < y.numel(); ++i) py[i] = pa[i] * pb[one_factor ? 0 : i];
  });
}

void ReferenceBackend::scale(ConstView x, double factor, View y) {
  compute(y.dtype, "scale", [&]<class T>() {
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    for (int64_t i = 0; i < y.numel(); ++i) py[i] = static_cast<T>(factor * px[i]);
  });
}

void ReferenceBackend::fill(View y, double value) {
  dispatch_any(y.dtype, [&]<class T>() {
    T element{};
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
      element = T(static_cast<float>(value));
    } else {
      element = static_cast<T>(value);
    }
    std::fill_n(y.data<T>(), y.numel(), element);
  });
}

}  // namespace mirilla
