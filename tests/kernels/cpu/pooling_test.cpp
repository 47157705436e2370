// SPDX-License-Identifier: MIT
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

class CpuPooling : public CpuTest {};
INSTANTIATE_TEST_SUITE_P(EveryWay, CpuPooling, every_way(), case_name);

int64_t pooled(int64_t extent, const Pool2dSpec& spec) { return (extent + 2 * spec.padding - spec.window) / spec.stride + 1; }

/// Pictures with ties (few different values) and some NaN.
Floats tied(const Shape& shape, uint64_t seed) {
  Floats x = random(shape, seed, -4.f, 4.f);
  for (size_t i = 0; i < x.values.size(); ++i) x.values[i] = i % 97 == 5 ? std::nanf("") : std::round(x.values[i]);
  return x;
}

TEST_P(CpuPooling, MaxPoolAndItsGradientAgreeWithTheReference) {
  const std::vector<Pool2dSpec> specs{{.window = 3, .stride = 2, .padding = 1}, {.window = 2, .stride = 2, .padding = 0},
                                      {.window = 3, .stride = 1, .padding = 1}, {.window = 2, .stride = 3, .padding = 0},
                                      {.window = 5, .stride = 2, .padding = 2}, {.window = 15, .stride = 1, .padding = 7}};
  for (const Shape& shape : {Shape{0, 8, 8, 3}, Shape{1, 5, 5, 1}, Shape{2, 16, 13, 33}, Shape{3, 7, 9, 64}, Shape{4, 32, 32, 16}}) {
    for (const Pool2dSpec& spec : specs) {
      const Shape out{shape[0], pooled(shape[1], spec), pooled(shape[2], spec), shape[3]};
      const Floats x = tied(shape, 1), dy = random(out, 2);
      Floats y = poisoned(out), dx = poisoned(shape);
      Array<uint8_t> index(out, 255), want_index(out, 254);
      Doubles want(out), want_dx(shape);
      const Doubles wide = widened(x), wide_dy = widened(dy);
      cpu_.run(op::MaxPool2d{x.view(), spec, y.view(), index.view()});
      reference_.run(op::MaxPool2d{wide.view(), spec, want.view(), want_index.view()});
      expect_close(y, want, 0);
      ASSERT_EQ(index.values, want_index.values);
      Floats alone = poisoned(out);
      cpu_.run(op::MaxPool2d{x.view(), spec, alone.view(), {}});
      expect_same_bits(alone, y);
      cpu_.run(op::MaxPool2dBackward{dy.view(), std::as_const(index).view(), spec, dx.view()});
      reference_.run(op::MaxPool2dBackward{wide_dy.view(), std::as_const(index).view(), spec, want_dx.view()});
      expect_close(dx, want_dx, 1e-6, 25.0);
    }
  }
}

/// Shapes of x and numbers of cells: cells that divide the picture, and cells that overlap.
std::vector<std::pair<Shape, Shape>> adaptive_cases() {
  std::vector<std::pair<Shape, Shape>> cases;
  for (const Shape& x : {Shape{0, 4, 4, 8}, Shape{1, 1, 1, 3}, Shape{2, 4, 4, 512}, Shape{3, 7, 7, 33}, Shape{2, 10, 13, 17}}) {
    for (const auto& [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {7, 7}}) cases.push_back({x, {x[0], h, w, x[3]}});
  }
  return cases;
}

TEST_P(CpuPooling, AdaptivePoolsAndTheirGradientsAgreeWithTheReference) {
  for (const auto& [shape, out] : adaptive_cases()) {
    const Floats x = random(shape, 3), tied_x = tied(shape, 4), dy = random(out, 5);
    const Doubles wide = widened(x), wide_tied = widened(tied_x), wide_dy = widened(dy);
    Floats y = poisoned(out), dx = poisoned(shape);
    Doubles want(out), want_dx(shape);
    cpu_.run(op::AdaptiveAvgPool2d{x.view(), y.view()});
    reference_.run(op::AdaptiveAvgPool2d{wide.view(), want.view()});
    expect_close(y, want, 1e-6, 1.0);
    cpu_.run(op::AdaptiveAvgPool2dBackward{dy.view(), dx.view()});
    reference_.run(op::AdaptiveAvgPool2dBackward{wide_dy.view(), want_dx.view()});
    expect_close(dx, want_dx, 1e-6, 1.0);
    Array<int64_t> index(out, -1), want_index(out, -2);
    cpu_.run(op::AdaptiveMaxPool2d{tied_x.view(), y.view(), index.view()});
    reference_.run(op::AdaptiveMaxPool2d{wide_tied.view(), want.view(), want_index.view()});
    expect_close(y, want, 0);
    ASSERT_EQ(index.values, want_index.values);
    cpu_.run(op::AdaptiveMaxPool2dBackward{dy.view(), std::as_const(index).view(), dx.view()});
    reference_.run(op::AdaptiveMaxPool2dBackward{wide_dy.view(), std::as_const(index).view(), want_dx.view()});
    expect_close(dx, want_dx, 1e-6, 9.0);
  }
}

TEST_P(CpuPooling, ConcatPoolIsTheMaximumThenTheAverage) {
  for (const auto& [shape, cell] : adaptive_cases()) {
    const int64_t channels = shape[3];
    const Shape out{cell[0], cell[1], cell[2], 2 * channels};
    const Floats x = random(shape, 6), dy = random(out, 7);
    Floats y = poisoned(out), dx = poisoned(shape), max = poisoned(cell), average = poisoned(cell), want = poisoned(out);
    Array<int64_t> index(cell, -1), want_index(cell, -2);
    cpu_.run(op::AdaptiveConcatPool2d{x.view(), y.view(), index.view()});
    cpu_.run(op::AdaptiveMaxPool2d{x.view(), max.view(), want_index.view()});
    cpu_.run(op::AdaptiveAvgPool2d{x.view(), average.view()});
    cpu_.run(op::Concat{max.view(), average.view(), want.view()});
    expect_same_bits(y, want);
    ASSERT_EQ(index.values, want_index.values);
    Floats dmax = poisoned(cell), daverage = poisoned(cell), from_max = poisoned(shape), from_average = poisoned(shape);
    cpu_.run(op::AdaptiveConcatPool2dBackward{dy.view(), std::as_const(index).view(), dx.view()});
    cpu_.run(op::Split{dy.view(), dmax.view(), daverage.view()});
    cpu_.run(op::AdaptiveMaxPool2dBackward{dmax.view(), std::as_const(index).view(), from_max.view()});
    cpu_.run(op::AdaptiveAvgPool2dBackward{daverage.view(), from_average.view()});
    cpu_.run(op::Add{from_max.view(), from_average.view(), from_max.view()});
    expect_close(dx, widened(from_max), 1e-6, 10.0);
  }
}

TEST_P(CpuPooling, SplitUndoesConcatAndEitherSideMayBeAbsent) {
  const Floats a = random({5, 3, 7}, 8), b = random({5, 3, 33}, 9);
  Floats y = poisoned({5, 3, 40}), back_a = poisoned(a.shape), back_b = poisoned(b.shape);
  cpu_.run(op::Concat{a.view(), b.view(), y.view()});
  cpu_.run(op::Split{y.view(), back_a.view(), back_b.view()});
  expect_same_bits(back_a, a);
  expect_same_bits(back_b, b);
  Floats only_a = poisoned(a.shape), only_b = poisoned(b.shape);
  cpu_.run(op::Split{y.view(), only_a.view(), {}});
  cpu_.run(op::Split{y.view(), {}, only_b.view()});
  expect_same_bits(only_a, a);
  expect_same_bits(only_b, b);
}

TEST_P(CpuPooling, GradCamAgreesWithTheReference) {
  const Floats activation = random({3, 7, 5, 33}, 10), gradient = random({3, 7, 5, 33}, 11);
  const Doubles wide = widened(activation), wide_gradient = widened(gradient);
  Floats weights = poisoned({3, 33}), map = poisoned({3, 7, 5});
  Doubles want_weights({3, 33}), want_map({3, 7, 5});
  cpu_.run(op::GradCam{activation.view(), gradient.view(), weights.view(), map.view()});
  reference_.run(op::GradCam{wide.view(), wide_gradient.view(), want_weights.view(), want_map.view()});
  expect_close(weights, want_weights, 1e-6, 1.0);
  expect_close(map, want_map, 1e-6, 5.0);
}

}  // namespace
}  // namespace mirilla::test
