// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"
#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"

namespace mirilla::test {

/// A tensor of one C++ type that owns its elements.
template <class T>
struct Array {
  Shape shape;
  std::vector<T> values;

  explicit Array(const Shape& s = {}, T value = T(0)) : shape(s), values(static_cast<size_t>(s.numel()), value) {}
  View view() { return {values.data(), shape, kDTypeOf<T>, true}; }
  ConstView view() const { return {values.data(), shape, kDTypeOf<T>, 0, 0, true}; }
  bool operator==(const Array&) const = default;
};

using Floats = Array<float>;
using Doubles = Array<double>;

/// Uniform in [low, high), the same for the same arguments, and each value exact in f32.
inline Floats random(const Shape& shape, uint64_t seed, float low = -1.f, float high = 1.f) {
  Floats a(shape);
  const RandomKey key{.seed = seed};
  for (size_t i = 0; i < a.values.size(); ++i) a.values[i] = low + (high - low) * to_unit(key.bits(static_cast<uint32_t>(i)));
  return a;
}

/// An output for a kernel: every element that stays unwritten is found.
inline Floats poisoned(const Shape& shape) { return Floats(shape, std::nanf("")); }

inline Doubles widened(const Floats& a) {
  Doubles d(a.shape);
  for (size_t i = 0; i < a.values.size(); ++i) d.values[i] = static_cast<double>(a.values[i]);
  return d;
}

inline Doubles magnitudes(const Doubles& a) {
  Doubles d(a.shape);
  for (size_t i = 0; i < a.values.size(); ++i) d.values[i] = std::fabs(a.values[i]);
  return d;
}

/// Each got within relative * scale of want, where scale is the magnitude of the element, or `scale`: the sum of the magnitudes of
/// its terms. A NaN equals a NaN.
inline void expect_close(const Floats& got, const Doubles& want, double relative, const Doubles* scale = nullptr) {
  ASSERT_EQ(got.shape, want.shape);
  for (size_t i = 0; i < got.values.size(); ++i) {
    if (std::isnan(got.values[i]) && std::isnan(want.values[i])) continue;
    const double allowed = relative * (scale ? scale->values[i] : std::fabs(want.values[i])) + 1e-30;
    ASSERT_NEAR(static_cast<double>(got.values[i]), want.values[i], allowed) << "element " << i << " of " << to_string(got.shape);
  }
}

inline void expect_close(const Floats& got, const Doubles& want, double relative, double scale) {
  const Doubles scales(want.shape, scale);
  expect_close(got, want, relative, &scales);
}

inline void expect_same_bits(const Floats& a, const Floats& b) {
  ASSERT_EQ(a.shape, b.shape);
  if (a.values.empty()) return;
  EXPECT_EQ(std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)), 0);
}

/// A test that runs with each instruction set of this machine, on one thread and on two.
class CpuTest : public testing::TestWithParam<std::tuple<std::string_view, int>> {
 protected:
  void SetUp() override {
    cpu::use_loops(std::get<0>(GetParam()));
    set_host_threads(std::get<1>(GetParam()));
  }
  void TearDown() override {
    cpu::use_loops(cpu::best_loops().name);
    set_host_threads(0);
  }

  CpuBackend cpu_;
  ReferenceBackend reference_;
};

inline std::string case_name(const testing::TestParamInfo<std::tuple<std::string_view, int>>& info) {
  return std::string(std::get<0>(info.param)) + "_" + std::to_string(std::get<1>(info.param)) + "_threads";
}

inline auto every_way() { return testing::Combine(testing::ValuesIn(cpu::loop_names()), testing::Values(1, 2)); }

/// Numbers of elements near the widths of vectors and the shares of threads.
inline std::vector<int64_t> sizes() { return {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 1000, 16383, 16384, 16385, 70001}; }

}  // namespace mirilla::test
