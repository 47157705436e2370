// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

namespace {

// sum over the rows of f(row * width + c, c), for every c.
template <class F>
std::vector<double> sum_columns(Rows x, F&& f) {
  std::vector<double> total(static_cast<size_t>(x.width));
  for (int64_t row = 0; row < x.count; ++row)
    for (int64_t c = 0; c < x.width; ++c) total[static_cast<size_t>(c)] += f(row * x.width + c, c);
  return total;
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::BatchNormStatistics& call) {
  compute(call.x.dtype, "batch_norm_statistics", [&]<class T>() {
    const Rows rows = rows_of(call.x.shape);
    const double n = static_cast<double>(rows.count);
    const T* const x = call.x.data<T>();
    std::vector<double> mean = sum_columns(rows, [&](int64_t i, int64_t) { return static_cast<double>(x[i]); });
    for (double& m : mean) m /= n;
    // Two passes: the formula sum x^2 - (sum x)^2 would lose digits to cancellation.
    const std::vector<double> squares = sum_columns(rows, [&](int64_t i, int64_t c) {
      const double d = x[i] - mean[static_cast<size_t>(c)];
      return d * d;
    });
    for (int64_t c = 0; c < rows.width; ++c) {
      const double m = mean[static_cast<size_t>(c)], variance = squares[static_cast<size_t>(c)] / n;
      call.mean.data<T>()[c] = static_cast<T>(m);
      call.inv_std.data<T>()[c] = static_cast<T>(1 / std::sqrt(variance + call.eps));
      if (!call.running_mean) continue;
      T& running_mean = call.running_mean.data<T>()[c];
      T& running_var = call.running_var.data<T>()[c];
      running_mean = static_cast<T>((1 - call.momentum) * running_mean + call.momentum * m);
      running_var = static_cast<T>((1 - call.momentum) * running_var + call.momentum * variance * n / (n - 1));
    }
  });
}

template <>
void ReferenceBackend::execute(const op::BatchNormApply& call) {
  compute(call.x.dtype, "batch_norm_apply", [&]<class T>() {
    const auto [rows, width] = rows_of(call.x.shape);
    const T* const x = call.x.data<T>();
    const T* const mean = call.mean.data<T>();
    const T* const inv_std = call.inv_std.data<T>();
    const T* const weight = call.weight.data<T>();
    const T* const bias = call.bias.data<T>();
    T* const y = call.y.data<T>();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < width; ++c) {
        const double xhat = (static_cast<double>(x[row * width + c]) - mean[c]) * inv_std[c];
        y[row * width + c] = static_cast<T>(xhat * weight[c] + bias[c]);
      }
    if (call.normalized) std::copy_n(y, rows * width, call.normalized.data<T>());
  });
}

template <>
void ReferenceBackend::execute(const op::BatchNormBackward& call) {
  compute(call.x.dtype, "batch_norm_backward", [&]<class T>() {
    const Rows rows = rows_of(call.x.shape);
    const double n = static_cast<double>(rows.count);
    const T* const x = call.x.data<T>();
    const T* const dy = call.dy.data<T>();
    const T* const mean = call.mean.data<T>();
    const T* const inv_std = call.inv_std.data<T>();
    const auto moved = [&](int64_t i, int64_t c) { return static_cast<double>(x[i]) - mean[c]; };
    const std::vector<double> dbias = sum_columns(rows, [&](int64_t i, int64_t) { return static_cast<double>(dy[i]); });
    std::vector<double> dweight = sum_columns(rows, [&](int64_t i, int64_t c) { return dy[i] * moved(i, c); });
    for (int64_t c = 0; c < rows.width; ++c) dweight[static_cast<size_t>(c)] *= inv_std[c];
    if (call.dbias) std::copy(dbias.begin(), dbias.end(), call.dbias.data<T>());
    if (call.dweight) std::copy(dweight.begin(), dweight.end(), call.dweight.data<T>());
    if (!call.dx) return;
    const T* const weight = call.weight.data<T>();
    T* const dx = call.dx.data<T>();
    for (int64_t row = 0; row < rows.count; ++row)
      for (int64_t c = 0; c < rows.width; ++c) {
        const int64_t i = row * rows.width + c;
        const double through_statistics = (dbias[static_cast<size_t>(c)] + moved(i, c) * inv_std[c] * dweight[static_cast<size_t>(c)]) / n;
        dx[i] = static_cast<T>(static_cast<double>(weight[c]) * inv_std[c] * (dy[i] - (call.training ? through_statistics : 0)));
      }
  });
}

}  // namespace mirilla
