// SPDX-License-Identifier: MIT
// Matrix products where the build found no oneDNN: correct, threaded, and several times slower.
#include <algorithm>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/products.h"

namespace mirilla::cpu {

namespace {

/// (columns, rows) of a matrix (rows, columns).
std::vector<float> transposed(const float* from, int64_t rows, int64_t columns) {
  std::vector<float> to(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[static_cast<size_t>(c * rows + r)] = from[r * columns + c];
  }
  return to;
}

}  // namespace

// Both factors are converted to rows first; then each row of y is a sum of rows of b, which vectorises.
void Products::matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) {
  const int64_t m = y.shape[0], n = y.shape[1], k = a.shape[spec.transpose_a ? 0 : 1];
  const std::vector<float> a_rows = spec.transpose_a ? transposed(a.data<float>(), k, m) : std::vector<float>();
  const std::vector<float> b_rows = spec.transpose_b ? transposed(b.data<float>(), n, k) : std::vector<float>();
  const float* pa = spec.transpose_a ? a_rows.data() : a.data<float>();
  const float* pb = spec.transpose_b ? b_rows.data() : b.data<float>();
  auto* py = y.data<float>();
  const auto accumulate = loops().accumulate;
  parallel_for(m, [&](int64_t i) {
    std::fill(py + i * n, py + (i + 1) * n, 0.f);
    for (int64_t l = 0; l < k; ++l) accumulate(pb + l * n, pa[i * k + l], py + i * n, n);
  });
}

}  // namespace mirilla::cpu
