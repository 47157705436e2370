// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::GradCam& call) {
  compute(call.map.dtype, "grad_cam", [&]<class T>() {
    const int64_t pictures = call.activation.shape[0], plane = call.activation.shape[1] * call.activation.shape[2],
                  channels = call.activation.shape[3];
    for (int64_t n = 0; n < pictures; ++n) {
      const T* const g = call.gradient.data<T>() + n * plane * channels;
      const T* const a = call.activation.data<T>() + n * plane * channels;
      T* const w = call.weights.data<T>() + n * channels;
      for (int64_t c = 0; c < channels; ++c) {
        double total = 0;
        for (int64_t i = 0; i < plane; ++i) total += g[i * channels + c];
        w[c] = static_cast<T>(total / static_cast<double>(plane));
      }
      for (int64_t i = 0; i < plane; ++i) {
        double total = 0;
        for (int64_t c = 0; c < channels; ++c) total += static_cast<double>(w[c]) * a[i * channels + c];
        call.map.data<T>()[n * plane + i] = static_cast<T>(total);
      }
    }
  });
}

}  // namespace mirilla
