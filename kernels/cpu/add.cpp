// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::Add& call) {
  cpu::want_f32("add", {call.a, call.b, call.y});
  const auto* pa = call.a.data<float>();
  const auto* pb = call.b.data<float>();
  auto* py = call.y.data<float>();
  const auto kernel = cpu::loops().add;
  cpu::parallel_shares(call.y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(pa + i, pb + i, py + i, end - i); });
}

template <>
void CpuBackend::execute(const op::Multiply& call) {
  cpu::want_f32("multiply", {call.a, call.b, call.y});
  const auto* pa = call.a.data<float>();
  const auto* pb = call.b.data<float>();
  auto* py = call.y.data<float>();
  const cpu::Loops& loops = cpu::loops();
  const bool single = call.b.numel() == 1 && call.y.numel() != 1;
  cpu::parallel_shares(call.y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) {
    if (single) {
      loops.scale(pa + i, *pb, py + i, end - i);
    } else {
      loops.multiply(pa + i, pb + i, py + i, end - i);
    }
  });
}

template <>
void CpuBackend::execute(const op::Scale& call) {
  cpu::want_f32("scale", {call.x, call.y});
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<float>();
  const auto kernel = cpu::loops().scale;
  cpu::parallel_shares(call.y.numel(), cpu::kGrain,
                       [&](int64_t i, int64_t end) { kernel(px + i, static_cast<float>(call.factor), py + i, end - i); });
}

template <>
void CpuBackend::execute(const op::AddBias& call) {
  cpu::want_f32("add_bias", {call.x, call.bias, call.y});
  const int64_t channels = cpu::channels_of(call.x);
  const auto* px = call.x.data<float>();
  const auto* pb = call.bias.data<float>();
  auto* py = call.y.data<float>();
  const auto kernel = cpu::loops().add_bias;
  cpu::parallel_rows(cpu::rows_of(call.x), channels,
                     [&](int64_t r, int64_t end) { kernel(px + r * channels, pb, py + r * channels, end - r, channels); });
}

}  // namespace mirilla
