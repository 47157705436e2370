// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::Transpose& call) {
  dispatch_any(call.x.dtype, [&]<class T>() {
    const int64_t matrices = call.x.shape[0], rows = call.x.shape[1], columns = call.x.shape[2];
    const T* const px = call.x.data<T>();
    T* const py = call.y.data<T>();
    for (int64_t m = 0; m < matrices; ++m)
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t column = 0; column < columns; ++column)
          py[(m * columns + column) * rows + row] = px[(m * rows + row) * columns + column];
  });
}

}  // namespace mirilla
