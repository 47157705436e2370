// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Dropout& call) {
  RandomKey key = call.spec.key;
  if (call.spec.step) key.step = static_cast<uint32_t>(*call.spec.step.data<int64_t>());
  compute(call.y.dtype, "dropout", [&]<class T>() {
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    const double kept_scale = 1 / (1 - call.spec.p);
    for (int64_t i = 0; i < call.y.numel(); ++i) {
      const bool kept = static_cast<double>(to_unit(key.bits(static_cast<uint32_t>(i)))) >= call.spec.p;
      py[i] = kept ? static_cast<T>(kept_scale * px[i]) : T(0) * px[i] + T(0);  // 0; NaN for a value that is not finite
    }
  });
}

}  // namespace mirilla
