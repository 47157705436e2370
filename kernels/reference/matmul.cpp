// SPDX-License-Identifier: MIT
#include <vector>

#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

void ReferenceBackend::matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) {
  compute(y.dtype, "matmul", [&]<class T>() {
    const int64_t rows = y.shape[0], columns = y.shape[1];
    const int64_t depth = a.shape[spec.transpose_a ? 0 : 1];
    const T* const pa = a.data<T>();
    const T* const pb = b.data<T>();
    T* const py = y.data<T>();
    const auto at_a = [&](int64_t i, int64_t k) { return static_cast<double>(pa[spec.transpose_a ? k * rows + i : i * depth + k]); };
#pragma omp parallel for num_threads(loop_threads(rows))
    for (int64_t i = 0; i < rows; ++i) {
      std::vector<double> row(static_cast<size_t>(columns));
      if (spec.transpose_b) {  // both rows run along k
        for (int64_t j = 0; j < columns; ++j)
          for (int64_t k = 0; k < depth; ++k) row[static_cast<size_t>(j)] += at_a(i, k) * pb[j * depth + k];
      } else {  // rows of b run along j
        for (int64_t k = 0; k < depth; ++k)
          for (int64_t j = 0; j < columns; ++j) row[static_cast<size_t>(j)] += at_a(i, k) * pb[k * columns + j];
      }
      for (int64_t j = 0; j < columns; ++j) py[i * columns + j] = static_cast<T>(row[static_cast<size_t>(j)]);
    }
  });
}

void ReferenceBackend::add_bias(ConstView x, ConstView bias, View y) {
  compute(y.dtype, "add_bias", [&]<class T>() {
    const auto [rows, width] = rows_of(x.shape);
    const T* const px = x.data<T>();
    const T* const pb = bias.data<T>();
    T* const py = y.data<T>();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < width; ++c) py[row * width + c] = px[row * width + c] + pb[c];
  });
}

}  // namespace mirilla
