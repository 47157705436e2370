// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

void ReferenceBackend::sum(ConstView x, View y) {
  compute(y.dtype, "sum", [&]<class T>() {
    const T* const px = x.data<T>();
    double total = 0;
    for (int64_t i = 0; i < x.numel(); ++i) total += px[i];
    *y.data<T>() = static_cast<T>(total);
  });
}

void ReferenceBackend::sum_rows(ConstView x, View y) {
  compute(y.dtype, "sum_rows", [&]<class T>() {
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    const auto [rows, width] = rows_of(x.shape);
    std::vector<double> total(static_cast<size_t>(width));
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < width; ++c) total[static_cast<size_t>(c)] += px[row * width + c];
    for (int64_t c = 0; c < width; ++c) py[c] = static_cast<T>(total[static_cast<size_t>(c)]);
  });
}

void ReferenceBackend::argmax(ConstView x, View y) {
  compute(x.dtype, "argmax", [&]<class T>() {
    const auto [rows, width] = rows_of(x.shape);
    for (int64_t row = 0; row < rows; ++row) {
      const T* const px = x.data<T>() + row * width;
      int64_t best = 0;
      for (int64_t c = 1; c < width; ++c)
        if (px[c] > px[best] || (std::isnan(px[c]) && !std::isnan(px[best]))) best = c;
      y.data<int64_t>()[row] = best;
    }
  });
}

}  // namespace mirilla
