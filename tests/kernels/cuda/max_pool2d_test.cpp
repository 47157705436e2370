// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/devices.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaMaxPool2d : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaMaxPool2d, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

Shape pooled(const Shape& x, const Pool2dSpec& spec) {
  const auto side = [&](int64_t length) { return (length + 2 * spec.padding - spec.window) / spec.stride + 1; };
  return {x[0], side(x[1]), side(x[2]), x[3]};
}

// Few values, so that windows hold equals; the maximum is exact.
Case pool(const Shape& x, const Pool2dSpec& spec) {
  Values values = uniform(x, 1, -3, 0);
  for (double& value : values.values) value = std::round(value * 2);
  return {.name = "max_pool2d " + to_string(x) + ", window " + std::to_string(spec.window),
          .in = {values},
          .out = {room(pooled(x, spec)), room(pooled(x, spec), DType::u8)},
          .run = [spec](Backend& b, auto in, auto out) {
            b.run(op::MaxPool2d{in[0], spec, out[0], out[1]});
          }};
}

// The forward pass on the reference gives the winners.
Case pool_backward(const Shape& x, const Pool2dSpec& spec, DType type) {
  const Shape y = pooled(x, spec);
  const Values index{y, run_on(open_device("reference"), pool(x, spec), DType::f64)[1], DType::u8};
  Case c{.name = "max_pool2d_backward " + to_string(x) + ", window " + std::to_string(spec.window),
         .in = {uniform(y, 2), index},
         .out = {room(x)},
         .run = [spec](Backend& b, auto in, auto out) {
           b.run(op::MaxPool2dBackward{in[0], in[1], spec, out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

const std::vector<Pool2dSpec> kSpecs{{.window = 3, .stride = 2, .padding = 1},
                                     {.window = 2, .stride = 2},
                                     {.window = 2, .stride = 3},
                                     {.window = 3, .stride = 1, .padding = 1},
                                     {.window = 5, .stride = 2, .padding = 2},
                                     {.window = 7, .stride = 1, .padding = 3}};

TEST_P(CudaMaxPool2d, PoolsAndGoesBackAtEveryShape) {
  for (const Pool2dSpec& spec : kSpecs)
    for (const Shape& x : {Shape{1, 5, 5, 1}, Shape{2, 6, 7, 3}, Shape{1, 9, 8, 8}, Shape{3, 5, 33, 16}, Shape{1, 7, 6, 33}}) {
      expect_equal_to_reference(pool(x, spec), GetParam());
      expect_equal_to_reference(pool_backward(x, spec, GetParam()), GetParam());
    }
}

TEST_P(CudaMaxPool2d, PoolsAsTheNetworkDoes) {
  const Pool2dSpec spec{.window = 3, .stride = 2, .padding = 1};
  const Shape x{2, 32, 32, 64};
  expect_equal_to_reference(pool(x, spec), GetParam());
  expect_equal_to_reference(pool_backward(x, spec, GetParam()), GetParam());
  expect_same_in_any_order(pool({1, 9, 9, 64}, spec), GetParam());
  expect_same_in_any_order(pool_backward({1, 9, 9, 64}, spec, GetParam()), GetParam());
}

// A row of a picture that is wider than a block, and more rows than a grid is high.
TEST_P(CudaMaxPool2d, PoolsLongAndHighPictures) {
  const Pool2dSpec spec{.window = 2, .stride = 1};
  for (const Shape& x : {Shape{1, 2, 700, 1}, Shape{1, 65539, 2, 1}, Shape{65537, 2, 2, 1}}) {
    expect_equal_to_reference(pool(x, spec), GetParam());
    expect_equal_to_reference(pool_backward(x, spec, GetParam()), GetParam());
  }
}

// Threads that go down several rows of y, more rows than a grid is high, and more pictures than it is deep.
TEST_P(CudaMaxPool2d, PoolsLongAndHighPicturesAsTheNetworkDoes) {
  const Pool2dSpec spec{.window = 3, .stride = 2, .padding = 1};
  for (const Shape& x : {Shape{1, 3, 700, 1}, Shape{1, 531, 2, 8}, Shape{1, 2 * 65539, 1, 1}, Shape{65537, 2, 2, 1}})
    expect_equal_to_reference(pool(x, spec), GetParam());
}

// Windows of few different values, most of them equal, zeros of both signs, the smallest numbers, infinities, NaN: the same winners as the
// reference has, to the sign of a zero, at every place in a window and in a word of two halves; and without places the same values.
TEST_P(CudaMaxPool2d, ChoosesTheSameWinnersAsTheReference) {
  const double inf = std::numeric_limits<double>::infinity(), least = GetParam() == DType::f16 ? 0x1p-24 : 0x1p-133;
  const std::vector<double> few{std::nan(""), inf, 0, -0.0, 0, -0.0, -least, -least, least, -inf, -inf, -inf, -1, -1, -1, -1};
  for (const Pool2dSpec& spec : kSpecs)
    for (const int64_t channels : {8, 3}) {
      const Shape shape{2, 19, 22, channels};
      Case c = pool(shape, spec);
      const Values choice = integers(shape, 7, static_cast<int64_t>(few.size()));
      for (size_t i = 0; i < choice.values.size(); ++i) c.in[0].values[i] = few[static_cast<size_t>(choice.values[i])];
      const auto got = run_on(device_under_test(), c, GetParam()), want = run_on(open_device("reference"), c, DType::f64);
      c.run = [spec](Backend& b, auto in, auto out) { b.run(op::MaxPool2d{in[0], spec, out[0], {}}); };
      const auto without = run_on(device_under_test(), c, GetParam());
      EXPECT_EQ(got[1], want[1]) << c.name;
      for (size_t i = 0; i < want[0].size(); ++i) {
        const double y = want[0][i];
        for (const double value : {got[0][i], without[0][i]})
          ASSERT_TRUE(std::isnan(y) ? std::isnan(value) : value == y && std::signbit(value) == std::signbit(y))
              << c.name << ", element " << i << ": " << value << ", not " << y;
      }
    }
}

TEST_P(CudaMaxPool2d, LetsTheLastNaNWinAndNeverThePadding) {
  Case c = pool({1, 6, 6, 8}, {.window = 3, .stride = 2, .padding = 1});
  for (size_t i = 0; i < c.in[0].values.size(); i += 7) c.in[0].values[i] = std::nan("");
  for (size_t i = 3; i < c.in[0].values.size(); i += 5) c.in[0].values[i] = -std::numeric_limits<double>::infinity();
  expect_equal_to_reference(c, GetParam());
  for (double& value : c.in[0].values) value = -std::numeric_limits<double>::infinity();
  expect_equal_to_reference(c, GetParam());
  for (const Pool2dSpec& spec : kSpecs)  // a NaN at each place of a window, in each lane of a vector
    for (const Shape& x : {Shape{2, 17, 19, 8}, Shape{2, 17, 19, 3}})
      for (const size_t every : {5, 13, 101}) {
        Case some = pool(x, spec);
        for (size_t i = 0; i < some.in[0].values.size(); i += every) some.in[0].values[i] = std::nan("");
        expect_equal_to_reference(some, GetParam());
      }
}

TEST_P(CudaMaxPool2d, WorksOnSlicesThatStartAnywhere) {
  const Pool2dSpec spec{.window = 3, .stride = 2, .padding = 1};
  Case forward = pool({2, 5, 5, 3}, spec), backward = pool_backward({2, 5, 5, 3}, spec, GetParam());
  forward.run = [spec](Backend& b, auto in, auto out) {
    b.run(op::MaxPool2d{without_first_row(in[0]), spec, without_first_row(out[0]), without_first_row(out[1])});
  };
  backward.run = [spec](Backend& b, auto in, auto out) {
    b.run(op::MaxPool2dBackward{without_first_row(in[0]), without_first_row(in[1]), spec, without_first_row(out[0])});
  };
  backward.magnitudes = magnitudes_by_reference(backward.in, backward.out, backward.run, GetParam());
  expect_equal_to_reference(forward, GetParam());
  expect_equal_to_reference(backward, GetParam());
}

TEST_P(CudaMaxPool2d, OfNothingIsNothing) {
  const Pool2dSpec spec{.window = 2, .stride = 2};
  expect_equal_to_reference(pool({0, 4, 4, 8}, spec), GetParam());
  expect_equal_to_reference(pool_backward({0, 4, 4, 8}, spec, GetParam()), GetParam());
}

}  // namespace
}  // namespace mirilla::test
