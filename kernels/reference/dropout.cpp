// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::dropout(ConstView x, const DropoutSpec& spec, View y) {
  RandomKey key = spec.key;
  if (spec.step) key.step = static_cast<uint32_t>(*spec.step.data<int64_t>());
  compute(y.dtype, "dropout", [&]<class T>() {
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    const double kept_scale = 1 / (1 - spec.p);
    for (int64_t i = 0; i < y.numel(); ++i) {
      const bool kept = static_cast<double>(to_unit(key.bits(static_cast<uint32_t>(i)))) >= spec.p;
      py[i] = kept ? static_cast<T>(kept_scale * px[i]) : T(0) * px[i] + T(0);  // 0; NaN for a value that is not finite
    }
  });
}

}  // namespace mirilla
