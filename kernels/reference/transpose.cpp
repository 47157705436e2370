// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::transpose(ConstView x, View y) {
  dispatch_any(x.dtype, [&]<class T>() {
    const int64_t matrices = x.shape[0], rows = x.shape[1], columns = x.shape[2];
    const T* const px = x.data<T>();
    T* const py = y.data<T>();
    for (int64_t m = 0; m < matrices; ++m)
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t column = 0; column < columns; ++column)
          py[(m * columns + column) * rows + row] = px[(m * rows + row) * columns + column];
  });
}

}  // namespace mirilla
