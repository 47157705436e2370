// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::grad_cam(ConstView activation, ConstView gradient, View weights, View map) {
  compute(map.dtype, "grad_cam", [&]<class T>() {
    const int64_t pictures = activation.shape[0], plane = activation.shape[1] * activation.shape[2], channels = activation.shape[3];
    for (int64_t n = 0; n < pictures; ++n) {
      const T* const g = gradient.data<T>() + n * plane * channels;
      const T* const a = activation.data<T>() + n * plane * channels;
      T* const w = weights.data<T>() + n * channels;
      for (int64_t c = 0; c < channels; ++c) {
        double total = 0;
        for (int64_t i = 0; i < plane; ++i) total += g[i * channels + c];
        w[c] = static_cast<T>(total / static_cast<double>(plane));
      }
      for (int64_t i = 0; i < plane; ++i) {
        double total = 0;
        for (int64_t c = 0; c < channels; ++c) total += static_cast<double>(w[c]) * a[i * channels + c];
        map.data<T>()[n * plane + i] = static_cast<T>(total);
      }
    }
  });
}

}  // namespace mirilla
