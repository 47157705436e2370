// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::GradCam& call) {
  cpu::want_f32("grad_cam", {call.activation, call.gradient, call.weights, call.map});
  const Shape& shape = call.activation.shape;
  const int64_t height = shape[1], width = shape[2], channels = shape[3];
  const auto* pa = call.activation.data<float>();
  const auto* pg = call.gradient.data<float>();
  auto* pw = call.weights.data<float>();
  auto* pm = call.map.data<float>();
  const auto average = cpu::loops().average_cell;
  cpu::parallel_for(shape[0], [&](int64_t n) {
    const int64_t picture = n * height * width;
    float* w = pw + n * channels;
    average(pg + picture * channels, height, width, channels, width * channels, w);
    for (int64_t p = picture; p < picture + height * width; ++p) {
      double total = 0;
      for (int64_t c = 0; c < channels; ++c) total += static_cast<double>(w[c]) * pa[p * channels + c];
      pm[p] = static_cast<float>(total);
    }
  });
}

}  // namespace mirilla
