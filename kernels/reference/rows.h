// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/shape.h"

namespace mirilla {

/// A shape seen as a matrix: everything but the last dimension, by the last. (N,H,W,C) is (N H W, C), (C) is (1, C).
struct Rows {
  int64_t count = 1;
  int64_t width = 1;
};

inline Rows rows_of(const Shape& shape) {
  Rows rows{1, shape[-1]};
  for (int d = 0; d + 1 < shape.rank(); ++d) rows.count *= shape[d];
  return rows;
}

}  // namespace mirilla
