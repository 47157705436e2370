// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "kernels/cuda/batch_norm_launches.h"
#include "kernels/cuda/platform/executor.h"
#include "tests/kernels/cuda/support.h"

/// Shared by the tests of batch norm's forward and backward passes.
namespace mirilla::test::batch_norm {

/// Odd channels, octets, one row, more rows than the grid covers in one turn, more channels than a block is wide (64 threads of 8 or 1),
/// more blocks than classes to merge them (32, on a GPU), more channels than one launch has counters for.
inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{{2, 1},        {1, 3},     {2, 3},         {33, 5},       {31, 33},      {1, 1, 1, 8},
                                      {3, 5, 7, 16}, {7, 130},   {5, 520},       {2, 3, 3, 24}, {4, 8, 8, 64}, {2, 32, 32, 8},
                                      {600, 3},      {2000, 40}, {3, 31, 29, 5}, {3500, 12},    {2, 8001}};
  return all;
}

/// Within it, the executor's launchers choose their grids as for an H200, and not as for the executor's own few multiprocessors.
class GridsOfAGpu {
 public:
  explicit GridsOfAGpu(int multiprocessors = 132) { facts_.multiprocessors = multiprocessors; }

 private:
  DeviceFacts facts_ = simt::facts();
  simt::FactsScope scope_{facts_};
};

/// While it lives, batch norms with statistics run in so many launches, on both platforms.
class LaunchesOfANorm {
 public:
  explicit LaunchesOfANorm(int launches) : before_(norm_launches()) { set_norm_launches(launches); }
  ~LaunchesOfANorm() { set_norm_launches(before_); }
  LaunchesOfANorm(const LaunchesOfANorm&) = delete;
  LaunchesOfANorm& operator=(const LaunchesOfANorm&) = delete;

 private:
  int before_;
};

/// The view one element further: a slice whose address is aligned for no vector. Its tensor is flat_and_one.
template <class V>
V one_further(V view, const Shape& shape) {
  using Byte = std::conditional_t<std::is_same_v<V, View>, std::byte, const std::byte>;
  view.address = static_cast<Byte*>(view.address) + size_of(view.dtype);
  view.shape = shape;
  return view;
}
inline Shape flat_and_one(const Shape& shape) { return {shape.numel() + 1}; }
inline Values moved_by_one(Values values) {
  values.shape = flat_and_one(values.shape);
  values.values.insert(values.values.begin(), 7.0);
  return values;
}

/// The case with some outputs absent: their memory stays poisoned.
inline Case without(Case c, std::initializer_list<size_t> outputs) {
  c.run = [run = c.run, absent = std::vector(outputs)](Backend& b, std::span<const ConstView> in, std::span<const View> out) {
    std::vector<View> left(out.begin(), out.end());
    for (const size_t o : absent) left[o] = {};
    run(b, in, left);
  };
  return c;
}

}  // namespace mirilla::test::batch_norm
