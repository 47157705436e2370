// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

namespace {

/// Two sums per channel.
struct Sums {
  std::vector<double> first, second;
};

/// Calls kernel(row, rows, first, second) for parts of the rows and adds their results. The parts depend on the extents and not on the
/// threads, so any number of threads gives the same bits.
template <class Kernel>
Sums sum_parts(int64_t rows, int64_t channels, Kernel&& kernel) {
  const int64_t parts = std::clamp<int64_t>(rows * channels / (2 * cpu::kGrain), 1, std::min<int64_t>(16, std::max<int64_t>(1, rows)));
  std::vector<double> part(static_cast<size_t>(parts * channels * 2));
  cpu::parallel_for(parts, [&](int64_t i) {
    const int64_t begin = rows * i / parts, end = rows * (i + 1) / parts;
    double* first = part.data() + i * channels * 2;
    kernel(begin, end - begin, first, first + channels);
  });
  Sums sums{std::vector<double>(static_cast<size_t>(channels)), std::vector<double>(static_cast<size_t>(channels))};
  for (int64_t i = 0; i < parts; ++i) {
    const double* from = part.data() + i * channels * 2;
    for (int64_t c = 0; c < channels; ++c) {
      sums.first[static_cast<size_t>(c)] += from[c];
      sums.second[static_cast<size_t>(c)] += from[channels + c];
    }
  }
  return sums;
}

/// A value near the mean of each channel, from a few rows spread over all: sums of x minus this value lose no digits, however large the
/// mean is.
std::vector<float> near_mean(const float* x, int64_t rows, int64_t channels) {
  const int64_t samples = std::min<int64_t>(16, rows);
  std::vector<float> shift(static_cast<size_t>(channels));
  for (int64_t s = 0; s < samples; ++s) {
    cpu::loops().accumulate(x + rows * s / samples * channels, 1.f / static_cast<float>(samples), shift.data(), channels);
  }
  return shift;
}

/// Mean and variance of a channel. In double where a channel's sums are not finite in float: because of its values, or because their
/// squares are too large.
struct Moments {
  double mean = 0, var = 0;

  Moments(const float* x, int64_t rows, int64_t channels) {
    for (int64_t r = 0; r < rows; ++r) mean += x[r * channels];
    mean /= static_cast<double>(rows);
    for (int64_t r = 0; r < rows; ++r) var += (x[r * channels] - mean) * (x[r * channels] - mean);
    var /= static_cast<double>(rows);
  }
};

}  // namespace

// Bytes: read n.
template <>
void CpuBackend::execute(const op::BatchNormStatistics& call) {
  cpu::want_f32("batch_norm_statistics", {call.x, call.mean, call.inv_std, call.running_mean, call.running_var});
  const int64_t rows = cpu::rows_of(call.x), channels = cpu::channels_of(call.x);
  const auto* x = call.x.data<float>();
  const std::vector<float> shift = near_mean(x, rows, channels);
  const auto kernel = cpu::loops().moments;
  const Sums sums = sum_parts(rows, channels, [&](int64_t row, int64_t count, double* first, double* second) {
    kernel(x + row * channels, shift.data(), count, channels, first, second);
  });
  const auto n = static_cast<double>(rows);
  auto* mean = call.mean.data<float>();
  auto* inv_std = call.inv_std.data<float>();
  float* running_mean = cpu::floats(call.running_mean);
  float* running_var = cpu::floats(call.running_var);
  for (int64_t c = 0; c < channels; ++c) {
    const auto at = static_cast<size_t>(c);
    const double offset = sums.first[at] / n;
    double batch_mean = shift[at] + offset;
    const double spread = sums.second[at] / n - offset * offset;
    double var = spread < 0 ? 0 : spread;
    if (rows > 0 && !(std::isfinite(batch_mean) && std::isfinite(spread))) {
      const Moments careful(x + c, rows, channels);
      batch_mean = careful.mean;
      var = careful.var;
    }
    mean[c] = static_cast<float>(batch_mean);
    inv_std[c] = static_cast<float>(1 / std::sqrt(var + call.eps));
    if (running_mean) running_mean[c] = static_cast<float>((1 - call.momentum) * running_mean[c] + call.momentum * batch_mean);
    if (running_var) running_var[c] = static_cast<float>((1 - call.momentum) * running_var[c] + call.momentum * var * n / (n - 1));
  }
}

// Bytes: read n (2 n with a residual), write n (2 n when watched).
template <>
void CpuBackend::execute(const op::BatchNormApply& call) {
  cpu::want_f32("batch_norm_apply", {call.x, call.mean, call.inv_std, call.weight, call.bias, call.residual, call.y, call.normalized});
  const int64_t rows = cpu::rows_of(call.x), channels = cpu::channels_of(call.x);
  std::vector<float> factor(static_cast<size_t>(channels));
  cpu::loops().multiply(call.inv_std.data<float>(), call.weight.data<float>(), factor.data(), channels);
  const auto* x = call.x.data<float>();
  const auto* mean = call.mean.data<float>();
  const auto* bias = call.bias.data<float>();
  const float* residual = cpu::floats(call.residual);
  auto* y = call.y.data<float>();
  float* normalized = cpu::floats(call.normalized);
  const auto kernel = cpu::loops().batch_norm_apply;
  cpu::parallel_rows(rows, channels, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * channels;
    kernel(x + at, mean, factor.data(), bias, residual ? residual + at : nullptr, call.relu, y + at, normalized ? normalized + at : nullptr,
           end - begin, channels);
  });
}

// Bytes: read 2 n for the sums and 2 n again for dx (n more each with ReLU), write n (2 n with a residual).
template <>
void CpuBackend::execute(const op::BatchNormBackward& call) {
  cpu::want_f32("batch_norm_backward",
                {call.dy, call.x, call.mean, call.inv_std, call.weight, call.y, call.dx, call.dresidual, call.dweight, call.dbias});
  const int64_t rows = cpu::rows_of(call.dy), channels = cpu::channels_of(call.dy);
  const auto* dy = call.dy.data<float>();
  const auto* x = call.x.data<float>();
  const auto* mean = call.mean.data<float>();
  const auto* inv_std = call.inv_std.data<float>();
  const auto* weight = call.weight.data<float>();
  const float* y = call.relu ? cpu::floats(call.y) : nullptr;
  const auto n = static_cast<size_t>(channels);
  std::vector<float> factor(n), offset(n), slope(n);
  if (call.dweight || call.dbias || (call.training && call.dx)) {
    const auto kernel = cpu::loops().batch_norm_sums;
    const Sums sums = sum_parts(rows, channels, [&](int64_t row, int64_t count, double* first, double* second) {
      const int64_t at = row * channels;
      kernel(dy + at, x + at, y ? y + at : nullptr, mean, count, channels, first, second);
    });
    for (size_t c = 0; c < n; ++c) {
      const double dweight = sums.second[c] * inv_std[c];
      if (call.dbias) cpu::floats(call.dbias)[c] = static_cast<float>(sums.first[c]);
      if (call.dweight) cpu::floats(call.dweight)[c] = static_cast<float>(dweight);
      if (!call.training) continue;
      offset[c] = static_cast<float>(sums.first[c] / static_cast<double>(rows));
      slope[c] = static_cast<float>(dweight * inv_std[c] / static_cast<double>(rows));
    }
  }
  if (!call.dx && !call.dresidual) return;
  cpu::loops().multiply(inv_std, weight, factor.data(), channels);
  float* dx = cpu::floats(call.dx);
  float* dresidual = cpu::floats(call.dresidual);
  const auto kernel = cpu::loops().batch_norm_backward;
  cpu::parallel_rows(rows, channels, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * channels;
    kernel(dy + at, call.training ? x + at : nullptr, y ? y + at : nullptr, mean, factor.data(), offset.data(), slope.data(),
           dx ? dx + at : nullptr, dresidual ? dresidual + at : nullptr, end - begin, channels);
  });
}

}  // namespace mirilla
