// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

// A thread writes whole rows of y, each a column of x.
void CpuBackend::transpose(ConstView x, View y) {
  dispatch_any(x.dtype, [&]<class T>() {
    const int64_t matrices = x.shape[0], rows = x.shape[1], columns = x.shape[2];
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    cpu::parallel_rows(matrices * columns, rows, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const T* const from = px + i / columns * rows * columns + i % columns;
        for (int64_t row = 0; row < rows; ++row) py[i * rows + row] = from[row * columns];
      }
    });
  });
}

}  // namespace mirilla
