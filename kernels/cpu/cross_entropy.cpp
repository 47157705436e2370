// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

namespace {

/// The largest of a row, and the sum of exp(x - largest) in double: there are few classes, so double costs little here.
struct RowSum {
  float largest;
  double sum;
};

RowSum row_sum(const float* row, int64_t classes) {
  float largest = row[0];
  for (int64_t c = 1; c < classes; ++c) {
    if (row[c] > largest || std::isnan(row[c])) largest = row[c];
  }
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]) - largest);
  return {largest, sum};
}

double probability(float x, const RowSum& s) { return std::exp(static_cast<double>(x) - s.largest) / s.sum; }

}  // namespace

template <>
void CpuBackend::execute(const op::Softmax& call) {
  cpu::want_f32("softmax", {call.x, call.y});
  const int64_t classes = cpu::channels_of(call.x);
  if (classes == 0) return;
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<float>();
  cpu::parallel_rows(cpu::rows_of(call.x), classes, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const RowSum s = row_sum(px + r * classes, classes);
      for (int64_t c = 0; c < classes; ++c) py[r * classes + c] = static_cast<float>(probability(px[r * classes + c], s));
    }
  });
}

template <>
void CpuBackend::execute(const op::CrossEntropy& call) {
  cpu::want_f32("cross_entropy", {call.logits, call.losses, call.dlogits});
  const int64_t rows = cpu::rows_of(call.logits), classes = cpu::channels_of(call.logits);
  const auto* px = call.logits.data<float>();
  const auto* pt = call.targets.data<int64_t>();
  auto* pl = call.losses.data<float>();
  float* pd = cpu::floats(call.dlogits);
  cpu::parallel_rows(rows, classes, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = px + r * classes;
      const RowSum s = row_sum(row, classes);
      pl[r] = static_cast<float>(std::log(s.sum) + (static_cast<double>(s.largest) - row[pt[r]]));
      if (!pd) continue;
      for (int64_t c = 0; c < classes; ++c) {
        pd[r * classes + c] = static_cast<float>((probability(row[c], s) - (c == pt[r] ? 1 : 0)) / static_cast<double>(rows));
      }
    }
  });
}

}  // namespace mirilla
