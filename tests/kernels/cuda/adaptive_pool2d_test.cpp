// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/devices.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaAdaptivePool2d : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaAdaptivePool2d, testing::ValuesIn(float_types()),
                         [](const auto& i) { return std::string(name_of(i.param)); });

struct Pooling {
  Shape x;
  int64_t h, w;
  Shape y() const { return {x[0], h, w, x[3]}; }
  Shape joined() const { return {x[0], h, w, 2 * x[3]}; }
  std::string name(const std::string& what) const { return what + " " + to_string(x) + " to " + to_string(y()); }
};

// To one cell as the network does, to cells that divide the picture, that overlap, and that are more than its pixels; odd channels.
const std::vector<Pooling> kPoolings{{{2, 4, 4, 512}, 1, 1},  {{1, 1, 1, 1}, 1, 1},  {{3, 7, 7, 24}, 1, 1},   {{2, 6, 8, 8}, 3, 2},
                                     {{1, 7, 5, 33}, 3, 2},   {{1, 3, 4, 8}, 5, 6},  {{2, 5, 9, 3}, 2, 4},    {{1, 31, 33, 16}, 1, 1},
                                     {{1, 2, 2, 16}, 9, 9},   {{1, 2, 2, 3}, 9, 9},  {{2, 3, 3, 1032}, 1, 1}, {{1, 4, 3, 519}, 1, 1},
                                     {{1, 2, 2, 16}, 11, 13}, {{1, 2, 2, 3}, 11, 13}};

Values few_values(const Shape& x) {
  Values values = uniform(x, 1, -3, 3);
  for (double& value : values.values) value = std::round(value * 2);
  return values;
}

Case average(const Pooling& p, DType type) {
  Case c{.name = p.name("average"), .in = {uniform(p.x, 1)}, .out = {room(p.y())}, .run = [](Backend& b, auto in, auto out) {
           b.run(op::AdaptiveAvgPool2d{in[0], out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

Case average_backward(const Pooling& p, DType type) {
  Case c{.name = p.name("average, backward"), .in = {uniform(p.y(), 1)}, .out = {room(p.x)}, .run = [](Backend& b, auto in, auto out) {
           b.run(op::AdaptiveAvgPool2dBackward{in[0], out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

Case largest(const Pooling& p) {
  return {.name = p.name("max"),
          .in = {few_values(p.x)},
          .out = {room(p.y()), room(p.y(), DType::i64)},
          .run = [](Backend& b, auto in, auto out) {
            b.run(op::AdaptiveMaxPool2d{in[0], out[0], out[1]});
          }};
}

Values winners(const Pooling& p) { return {p.y(), run_on(open_device("reference"), largest(p), DType::f64)[1], DType::i64}; }

Case largest_backward(const Pooling& p, DType type) {
  Case c{
      .name = p.name("max, backward"), .in = {uniform(p.y(), 2), winners(p)}, .out = {room(p.x)}, .run = [](Backend& b, auto in, auto out) {
        b.run(op::AdaptiveMaxPool2dBackward{in[0], in[1], out[0]});
      }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

// The reference has only the parts; they are joined here.
struct Host {
  std::vector<double> values;
  View view;
  explicit Host(const Shape& shape) : values(static_cast<size_t>(shape.numel())), view{values.data(), shape, DType::f64, true} {}
};

Case both(const Pooling& p, DType type) {
  Case c{.name = p.name("concat"),
         .in = {few_values(p.x)},
         .out = {room(p.joined()), room(p.y(), DType::i64)},
         .run = [p](Backend& b, auto in, auto out) {
           if (b.has<op::AdaptiveConcatPool2d>()) return b.run(op::AdaptiveConcatPool2d{in[0], out[0], out[1]});
           Host most(p.y()), mean(p.y());
           b.run(op::AdaptiveMaxPool2d{in[0], most.view, out[1]});
           b.run(op::AdaptiveAvgPool2d{in[0], mean.view});
           b.run(op::Concat{most.view, mean.view, out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

Case both_backward(const Pooling& p, DType type) {
  Case c{.name = p.name("concat, backward"),
         .in = {uniform(p.joined(), 2), winners(p)},
         .out = {room(p.x)},
         .run = [p](Backend& b, auto in, auto out) {
           if (b.has<op::AdaptiveConcatPool2d>()) return b.run(op::AdaptiveConcatPool2dBackward{in[0], in[1], out[0]});
           Host most(p.y()), mean(p.y()), of_most(p.x), of_mean(p.x);
           b.run(op::Split{in[0], most.view, mean.view});
           b.run(op::AdaptiveMaxPool2dBackward{most.view, in[1], of_most.view});
           b.run(op::AdaptiveAvgPool2dBackward{mean.view, of_mean.view});
           b.run(op::Add{of_most.view, of_mean.view, out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

TEST_P(CudaAdaptivePool2d, Averages) {
  for (const Pooling& p : kPoolings) {
    expect_equal_to_reference(average(p, GetParam()), GetParam());
    expect_equal_to_reference(average_backward(p, GetParam()), GetParam());
  }
}

TEST_P(CudaAdaptivePool2d, FindsTheLargest) {
  for (const Pooling& p : kPoolings) {
    expect_equal_to_reference(largest(p), GetParam());
    expect_equal_to_reference(largest_backward(p, GetParam()), GetParam());
  }
}

TEST_P(CudaAdaptivePool2d, DoesBothInOnePass) {
  for (const Pooling& p : kPoolings) {
    expect_equal_to_reference(both(p, GetParam()), GetParam());
    expect_equal_to_reference(both_backward(p, GetParam()), GetParam());
  }
}

TEST_P(CudaAdaptivePool2d, DoesNotDependOnTheOrderOfThreads) {
  for (const Pooling& p : {kPoolings[2], kPoolings[4]}) {
    expect_same_in_any_order(both(p, GetParam()), GetParam());
    expect_same_in_any_order(both_backward(p, GetParam()), GetParam());
  }
}

TEST_P(CudaAdaptivePool2d, TakesMorePicturesThanAGridIsHigh) {
  const Pooling p{{65537, 1, 2, 1}, 1, 1};
  expect_equal_to_reference(both(p, GetParam()), GetParam());
  expect_equal_to_reference(both_backward(p, GetParam()), GetParam());
}

TEST_P(CudaAdaptivePool2d, LetsTheLastNaNWin) {
  for (const Pooling& p : kPoolings)
    for (Case c : {largest(p), both(p, GetParam())}) {
      for (size_t i = 0; i < c.in[0].values.size(); i += 11) c.in[0].values[i] = std::nan("");
      for (size_t i = 3; i < c.in[0].values.size(); i += 5) c.in[0].values[i] = -std::numeric_limits<double>::infinity();
      expect_equal_to_reference(c, GetParam());
    }
  Case c = largest({{1, 5, 5, 8}, 2, 2});
  for (double& value : c.in[0].values) value = -std::numeric_limits<double>::infinity();
  expect_equal_to_reference(c, GetParam());
}

TEST_P(CudaAdaptivePool2d, WorksOnSlicesThatStartAnywhere) {
  const Pooling p{{3, 5, 3, 3}, 2, 2};
  Case forward = largest(p), backward = average_backward(p, GetParam());
  forward.run = [](Backend& b, auto in, auto out) {
    b.run(op::AdaptiveMaxPool2d{without_first_row(in[0]), without_first_row(out[0]), without_first_row(out[1])});
  };
  backward.run = [](Backend& b, auto in, auto out) {
    b.run(op::AdaptiveAvgPool2dBackward{without_first_row(in[0]), without_first_row(out[0])});
  };
  backward.magnitudes = magnitudes_by_reference(backward.in, backward.out, backward.run, GetParam());
  expect_equal_to_reference(forward, GetParam());
  expect_equal_to_reference(backward, GetParam());
}

TEST_P(CudaAdaptivePool2d, OfNothingIsNothing) {
  const Pooling p{{0, 4, 4, 8}, 1, 1};
  expect_equal_to_reference(both(p, GetParam()), GetParam());
  expect_equal_to_reference(both_backward(p, GetParam()), GetParam());
}

TEST(CudaAdaptivePool2dLimits, SaysWhichSidesAreTooLong) {
  Backend& backend = device_under_test().backend();
  const View x{nullptr, {1, 1 << 20, 1, 1}, DType::f32, true}, y{nullptr, {1, 1 << 12, 1, 1}, DType::f32, true};
  EXPECT_THROW(backend.run(op::AdaptiveAvgPool2d{x, y}), DeviceError);
  const View many{nullptr, {1 << 20, 1 << 7, 1 << 7, 1}, DType::f32, true};
  EXPECT_THROW(backend.run(op::AdaptiveAvgPool2d{many, many}), DeviceError);
}

}  // namespace
}  // namespace mirilla::test
