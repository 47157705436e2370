// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::dropout(ConstView x, const DropoutSpec& spec, View y) {
  compute(y.dtype, "dropout", [&]<class T>() {
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    const double kept_scale = 1 / (1 - spec.p);
    for (int64_t i = 0; i < y.numel(); ++i) {
      const bool kept = static_cast<double>(to_unit(spec.key.bits(static_cast<uint32_t>(i)))) >= spec.p;
      py[i] = kept ? static_cast<T>(kept_scale * px[i]) : T(0);
    }
  });
}

}  // namespace mirilla
