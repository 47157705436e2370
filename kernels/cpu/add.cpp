// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

void CpuBackend::add(ConstView a, ConstView b, View y) {
  cpu::want_f32("add", {a, b, y});
  const auto* pa = a.data<float>();
  const auto* pb = b.data<float>();
  auto* py = y.data<float>();
  const auto kernel = cpu::loops().add;
  cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { kernel(pa + i, pb + i, py + i, end - i); });
}

void CpuBackend::multiply(ConstView a, ConstView b, View y) {
  cpu::want_f32("multiply", {a, b, y});
  const auto* pa = a.data<float>();
  const auto* pb = b.data<float>();
  auto* py = y.data<float>();
  const cpu::Loops& loops = cpu::loops();
  const bool single = b.numel() == 1 && y.numel() != 1;
  cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) {
    if (single) {
      loops.scale(pa + i, *pb, py + i, end - i);
    } else {
      loops.multiply(pa + i, pb + i, py + i, end - i);
    }
  });
}

void CpuBackend::scale(ConstView x, double factor, View y) {
  cpu::want_f32("scale", {x, y});
  const auto* px = x.data<float>();
  auto* py = y.data<float>();
  const auto kernel = cpu::loops().scale;
  cpu::parallel_shares(y.numel(), cpu::kGrain,
                       [&](int64_t i, int64_t end) { kernel(px + i, static_cast<float>(factor), py + i, end - i); });
}

void CpuBackend::add_bias(ConstView x, ConstView bias, View y) {
  cpu::want_f32("add_bias", {x, bias, y});
  const int64_t channels = cpu::channels_of(x);
  const auto* px = x.data<float>();
  const auto* pb = bias.data<float>();
  auto* py = y.data<float>();
  const auto kernel = cpu::loops().add_bias;
  cpu::parallel_rows(cpu::rows_of(x), channels,
                     [&](int64_t r, int64_t end) { kernel(px + r * channels, pb, py + r * channels, end - r, channels); });
}

}  // namespace mirilla
