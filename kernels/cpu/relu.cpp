// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

void CpuBackend::relu(ConstView x, View y) {
  cpu::want_f32("relu", {x, y});
  const auto* px = x.data<float>();
  auto* py = y.data<float>();
  const auto kernel = cpu::loops().relu;
  cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(px + i, py + i, end - i); });
}

void CpuBackend::relu_backward(ConstView dy, ConstView y, View dx) {
  cpu::want_f32("relu_backward", {dy, y, dx});
  const auto* pdy = dy.data<float>();
  const auto* py = y.data<float>();
  auto* pdx = dx.data<float>();
  const auto kernel = cpu::loops().relu_backward;
  cpu::parallel_shares(dx.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(pdy + i, py + i, pdx + i, end - i); });
}

}  // namespace mirilla
