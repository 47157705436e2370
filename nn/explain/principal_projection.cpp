// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/explain/cam_formulas.h"

namespace mirilla::nn {

namespace {

// A dense matrix of doubles, row-major.
struct Matrix {
  size_t rows = 0, columns = 0;
  std::vector<double> values;
  const double* row(size_t i) const { return values.data() + i * columns; }
  double* row(size_t i) { return values.data() + i * columns; }
};

double dot(const double* a, const double* b, size_t n) { return std::inner_product(a, a + n, b, 0.0); }

// m m^T, which is symmetric.
Matrix gram(const Matrix& m) {
  Matrix product{m.rows, m.rows, std::vector<double>(m.rows * m.rows)};
  for (size_t i = 0; i < m.rows; ++i)
    for (size_t j = i; j < m.rows; ++j) product.row(i)[j] = product.row(j)[i] = dot(m.row(i), m.row(j), m.columns);
  return product;
}

Matrix transposed(const Matrix& m) {
  Matrix t{m.columns, m.rows, std::vector<double>(m.values.size())};
  for (size_t i = 0; i < m.rows; ++i)
    for (size_t j = 0; j < m.columns; ++j) t.row(j)[i] = m.row(i)[j];
  return t;
}

double trace(const Matrix& m) {
  double total = 0;
  for (size_t i = 0; i < m.rows; ++i) total += m.row(i)[i];
  return total;
}

void divide(Matrix& m, double by) {
  for (double& value : m.values) value /= by;
}

// The unit eigenvector of the largest eigenvalue of a symmetric matrix without negative ones. k^2, k^4, k^8 ... scaled to trace 1
// converge to u u^T, and there the trace of the square is 1: no start vector that could be orthogonal to u. If the two largest are equal it
// gives a vector of their plane.
std::vector<double> leading_eigenvector(Matrix k) {
  constexpr int kMostSquarings = 48;
  constexpr double kDone = 1e-15;
  divide(k, trace(k));
  for (int i = 0; i < kMostSquarings; ++i) {
    k = gram(k);  // symmetric: k k^T is k k
    const double purity = trace(k);
    divide(k, purity);
    if (1 - purity < kDone) break;
  }
  size_t widest = 0;
  for (size_t i = 1; i < k.rows; ++i)
    if (k.row(i)[i] > k.row(widest)[widest]) widest = i;
  std::vector<double> u(k.row(widest), k.row(widest) + k.columns);
  const double length = std::sqrt(dot(u.data(), u.data(), u.size()));
  for (double& value : u) value /= length;
  return u;
}

Matrix centred(std::span<const double> rows, size_t channels) {
  Matrix m{rows.size() / channels, channels, {rows.begin(), rows.end()}};
  for (size_t c = 0; c < channels; ++c) {
    double mean = 0;
    for (size_t i = 0; i < m.rows; ++i) mean += m.row(i)[c];
    mean /= static_cast<double>(m.rows);
    for (size_t i = 0; i < m.rows; ++i) m.row(i)[c] -= mean;
  }
  return m;
}

}  // namespace

std::vector<double> principal_projection(std::span<const double> rows, size_t channels) {
  const Matrix m = centred(rows, channels);
  std::vector<double> map(m.rows, 0.0);
  if (std::all_of(m.values.begin(), m.values.end(), [](double value) { return value == 0; })) return map;
  if (m.rows <= m.columns) {  // M v = s u, with u and s^2 of the smaller M M^T
    const Matrix k = gram(m);
    map = leading_eigenvector(k);
    double s2 = 0;
    for (size_t i = 0; i < k.rows; ++i) s2 += map[i] * dot(k.row(i), map.data(), k.columns);
    for (double& value : map) value *= std::sqrt(s2);
  } else {
    const std::vector<double> v = leading_eigenvector(gram(transposed(m)));
    for (size_t i = 0; i < m.rows; ++i) map[i] = dot(m.row(i), v.data(), m.columns);
  }
  double along = 0;  // with the rows' sums
  for (size_t i = 0; i < m.rows; ++i) along += map[i] * std::accumulate(m.row(i), m.row(i) + m.columns, 0.0);
  if (along < 0)
    for (double& value : map) value = -value;
  return map;
}

}  // namespace mirilla::nn
