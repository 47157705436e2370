// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::Concat& call) {
  cpu::want_f32("concat", {call.a, call.b, call.y});
  const int64_t left = cpu::channels_of(call.a), right = cpu::channels_of(call.b);
  const auto* pa = call.a.data<float>();
  const auto* pb = call.b.data<float>();
  auto* py = call.y.data<float>();
  cpu::parallel_rows(cpu::rows_of(call.y), left + right, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::copy_n(pa + r * left, left, py + r * (left + right));
      std::copy_n(pb + r * right, right, py + r * (left + right) + left);
    }
  });
}

template <>
void CpuBackend::execute(const op::Split& call) {
  cpu::want_f32("split", {call.y, call.a, call.b});
  const int64_t both = cpu::channels_of(call.y);
  const int64_t left = call.a ? cpu::channels_of(call.a) : both - cpu::channels_of(call.b), right = both - left;
  const auto* py = call.y.data<float>();
  float* pa = cpu::floats(call.a);
  float* pb = cpu::floats(call.b);
  cpu::parallel_rows(cpu::rows_of(call.y), both, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (pa) std::copy_n(py + r * both, left, pa + r * left);
      if (pb) std::copy_n(py + r * both + left, right, pb + r * right);
    }
  });
}

}  // namespace mirilla
