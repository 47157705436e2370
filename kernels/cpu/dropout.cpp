// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

// to_unit(bits) >= p compares k 2^-24 with p for an integer k = bits >> 8, so k >= ceil(p 2^24) is the same comparison without rounding.
template <>
void CpuBackend::execute(const op::Dropout& call) {
  cpu::want_f32("dropout", {call.x, call.y});
  RandomKey key = call.spec.key;
  if (call.spec.step) key.step = static_cast<uint32_t>(*call.spec.step.data<int64_t>());
  const cpu::DropoutChunk chunk{
      .key = {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)},
      .counter = {key.item, key.step, static_cast<uint32_t>(key.purpose)},
      .threshold = static_cast<uint32_t>(std::ceil(call.spec.p * 0x1p24)),
      .factor = call.spec.p < 1 ? static_cast<float>(1 / (1 - call.spec.p)) : 0.f,
  };
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<float>();
  const auto kernel = cpu::loops().dropout;
  cpu::parallel_shares(call.y.numel(), 4096, [&](int64_t i, int64_t end) { kernel(chunk, px, py, i, end - i); });
}

}  // namespace mirilla
