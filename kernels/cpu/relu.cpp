// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::Relu& call) {
  cpu::want_f32("relu", {call.x, call.y});
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<float>();
  const auto kernel = cpu::loops().relu;
  cpu::parallel_shares(call.y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(px + i, py + i, end - i); });
}

template <>
void CpuBackend::execute(const op::ReluBackward& call) {
  cpu::want_f32("relu_backward", {call.dy, call.y, call.dx});
  const auto* pdy = call.dy.data<float>();
  const auto* py = call.y.data<float>();
  auto* pdx = call.dx.data<float>();
  const auto kernel = cpu::loops().relu_backward;
  cpu::parallel_shares(call.dx.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(pdy + i, py + i, pdx + i, end - i); });
}

}  // namespace mirilla
