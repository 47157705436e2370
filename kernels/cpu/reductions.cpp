// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

// The parts of a sum depend on the extent and not on the threads, so any number of threads gives the same bits.
template <>
void CpuBackend::execute(const op::Sum& call) {
  cpu::want_f32("sum", {call.x, call.y});
  const int64_t n = call.x.numel();
  const int64_t parts = std::clamp<int64_t>(n / cpu::kGrain, 1, 64);
  std::vector<double> part(static_cast<size_t>(parts));
  const auto* px = call.x.data<float>();
  const auto kernel = cpu::loops().sum;
  cpu::parallel_for(parts, [&](int64_t i) {
    const int64_t begin = n * i / parts, end = n * (i + 1) / parts;
    part[static_cast<size_t>(i)] = kernel(px + begin, end - begin);
  });
  double total = 0;
  for (const double p : part) total += p;
  *call.y.data<float>() = static_cast<float>(total);
}

template <>
void CpuBackend::execute(const op::SumRows& call) {
  cpu::want_f32("sum_rows", {call.x, call.y});
  const int64_t rows = cpu::rows_of(call.x), channels = cpu::channels_of(call.x);
  const int64_t parts = std::clamp<int64_t>(rows * channels / cpu::kGrain, 1, std::min<int64_t>(16, std::max<int64_t>(1, rows)));
  std::vector<double> part(static_cast<size_t>(parts * channels * 2));
  const auto* px = call.x.data<float>();
  const auto kernel = cpu::loops().sum_rows;
  cpu::parallel_for(parts, [&](int64_t i) {
    const int64_t begin = rows * i / parts, end = rows * (i + 1) / parts;
    double* sums = part.data() + i * channels * 2;
    kernel(px + begin * channels, end - begin, channels, sums, sums + channels);
  });
  auto* py = call.y.data<float>();
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0;
    for (int64_t i = 0; i < parts; ++i) total += part[static_cast<size_t>(i * channels * 2 + c)];
    py[c] = static_cast<float>(total);
  }
}

template <>
void CpuBackend::execute(const op::Argmax& call) {
  cpu::want_f32("argmax", {call.x});
  const int64_t rows = cpu::rows_of(call.x), channels = cpu::channels_of(call.x);
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<int64_t>();
  cpu::parallel_rows(rows, channels, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = px + r * channels;
      int64_t best = 0;
      for (int64_t c = 1; c < channels && !std::isnan(row[best]); ++c) {
        if (row[c] > row[best] || std::isnan(row[c])) best = c;
      }
      py[r] = best;
    }
  });
}

}  // namespace mirilla
