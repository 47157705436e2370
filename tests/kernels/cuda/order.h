// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "kernels/simt/executor.h"
#include "tests/kernels/cuda/support.h"

namespace mirilla::test {

/// Runs the case with the threads and blocks in their natural order and in three shuffled ones, and expects the same bits: a kernel whose
/// result depends on the order has a race. On a GPU, which chooses its own order, it runs it four times.
inline void expect_same_in_any_order(const Case& c, DType type) {
  SCOPED_TRACE(c.name + " in " + std::string(name_of(type)));
  const auto first = run_on(device_under_test(), c, type);
  for (const uint64_t seed : {1, 2, 3}) {
    simt::set_schedule_seed(seed);
    const auto again = run_on(device_under_test(), c, type);
    simt::set_schedule_seed(0);
    for (size_t o = 0; o < first.size(); ++o)
      for (size_t i = 0; i < first[o].size(); ++i)
        ASSERT_TRUE(first[o][i] == again[o][i] || (std::isnan(first[o][i]) && std::isnan(again[o][i])))
            << "output " << o << ", element " << i << ": " << first[o][i] << " and with seed " << seed << " " << again[o][i];
  }
}

/// The view without its first element, so that it is not aligned for vectors, like some slices of tensors.
template <class V>
V tail(V x) {
  using Byte = std::conditional_t<std::is_same_v<V, View>, std::byte, const std::byte>;
  x.address = static_cast<Byte*>(x.address) + size_of(x.dtype);
  x.shape = Shape{x.numel() - 1};
  return x;
}

/// A tensor of this shape that begins one element after the view, so that it is not aligned for vectors either.
template <class V>
V shifted(V x, const Shape& shape) {
  using Byte = std::conditional_t<std::is_same_v<V, View>, std::byte, const std::byte>;
  x.address = static_cast<Byte*>(x.address) + size_of(x.dtype);
  x.shape = shape;
  return x;
}

/// The same from the second row on.
template <class V>
V without_first_row(V x) {
  std::vector<int64_t> extents(x.shape.begin(), x.shape.end());
  const int64_t row = x.numel() / extents[0];
  using Byte = std::conditional_t<std::is_same_v<V, View>, std::byte, const std::byte>;
  x.address = static_cast<Byte*>(x.address) + static_cast<size_t>(row) * size_of(x.dtype);
  --extents[0];
  x.shape = Shape(extents);
  return x;
}

/// For an operation of one or two roundings in f32: relative to the result.
inline std::vector<std::vector<double>> magnitudes_of_results(const std::vector<std::vector<double>>& want) {
  auto magnitudes = want;
  for (auto& output : magnitudes)
    for (double& x : output) x = std::isfinite(x) ? std::abs(x) : 0;
  return magnitudes;
}

}  // namespace mirilla::test
