// SPDX-License-Identifier: MIT
#include <vector>

#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Matmul& call) {
  compute(call.y.dtype, "matmul", [&]<class T>() {
    const int64_t rows = call.y.shape[0], columns = call.y.shape[1];
    const int64_t depth = call.a.shape[call.spec.transpose_a ? 0 : 1];
    const T* const pa = call.a.data<T>();
    const T* const pb = call.b.data<T>();
    T* const py = call.y.data<T>();
    const auto at_a = [&](int64_t i, int64_t k) { return static_cast<double>(pa[call.spec.transpose_a ? k * rows + i : i * depth + k]); };
#pragma omp parallel for num_threads(loop_threads(rows))
    for (int64_t i = 0; i < rows; ++i) {
      std::vector<double> row(static_cast<size_t>(columns));
      if (call.spec.transpose_b) {  // both rows run along k
        for (int64_t j = 0; j < columns; ++j)
          for (int64_t k = 0; k < depth; ++k) row[static_cast<size_t>(j)] += at_a(i, k) * pb[j * depth + k];
      } else {  // rows of call.b run along j
        for (int64_t k = 0; k < depth; ++k)
          for (int64_t j = 0; j < columns; ++j) row[static_cast<size_t>(j)] += at_a(i, k) * pb[k * columns + j];
      }
      for (int64_t j = 0; j < columns; ++j) py[i * columns + j] = static_cast<T>(row[static_cast<size_t>(j)]);
    }
  });
}

}  // namespace mirilla
