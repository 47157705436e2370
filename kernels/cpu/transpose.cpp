// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

// A thread writes whole rows of y, each a column of x.
template <>
void CpuBackend::execute(const op::Transpose& call) {
  dispatch_any(call.x.dtype, [&]<class T>() {
    const int64_t matrices = call.x.shape[0], rows = call.x.shape[1], columns = call.x.shape[2];
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    cpu::parallel_rows(matrices * columns, rows, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const T* const from = px + i / columns * rows * columns + i % columns;
        for (int64_t row = 0; row < rows; ++row) py[i * rows + row] = from[row * columns];
      }
    });
  });
}

}  // namespace mirilla
