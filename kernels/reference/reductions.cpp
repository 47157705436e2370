// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Sum& call) {
  compute(call.y.dtype, "sum", [&]<class T>() {
    const T* const px = call.x.data<T>();
    double total = 0;
    for (int64_t i = 0; i < call.x.numel(); ++i) total += px[i];
    *call.y.data<T>() = static_cast<T>(total);
  });
}

template <>
void ReferenceBackend::execute(const op::SumRows& call) {
  compute(call.y.dtype, "sum_rows", [&]<class T>() {
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    const auto [rows, width] = rows_of(call.x.shape);
    std::vector<double> total(static_cast<size_t>(width));
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < width; ++c) total[static_cast<size_t>(c)] += px[row * width + c];
    for (int64_t c = 0; c < width; ++c) py[c] = static_cast<T>(total[static_cast<size_t>(c)]);
  });
}

template <>
void ReferenceBackend::execute(const op::Argmax& call) {
  compute(call.x.dtype, "argmax", [&]<class T>() {
    const auto [rows, width] = rows_of(call.x.shape);
    for (int64_t row = 0; row < rows; ++row) {
      const T* const px = call.x.data<T>() + row * width;
      int64_t best = 0;
      for (int64_t c = 1; c < width; ++c)
        if (px[c] > px[best] || (std::isnan(px[c]) && !std::isnan(px[best]))) best = c;
      call.y.data<int64_t>()[row] = best;
    }
  });
}

}  // namespace mirilla
