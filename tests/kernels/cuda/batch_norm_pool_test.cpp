// SPDX-License-Identifier: MIT
// Norm, ReLU and pool in one pass, and the norm's backward of the pool's gradient, against the operations one by one, to the bit.
#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "kernels/devices.h"
#include "tests/kernels/cuda/batch_norm_cases.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test::batch_norm {
namespace {

class CudaNormPool : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaNormPool, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

constexpr Pool2dSpec kPadded{.window = 3, .stride = 2, .padding = 1}, kBare{.window = 3, .stride = 2};
constexpr double kNoPlace = op::BatchNormReluMaxPool2d::kNoPlace;

Shape pooled(const Shape& x, const Pool2dSpec& spec) {
  const auto side = [&](int64_t length) { return (length + 2 * spec.padding - spec.window) / spec.stride + 1; };
  return {x[0], side(x[1]), side(x[2]), x[3]};
}

// Odd channels and vectors, one pixel, long rows, more rows than a thread or a grid takes, the network's own.
const std::vector<Shape> kShapes{{1, 3, 3, 1},    {2, 5, 7, 3},   {1, 9, 8, 8},   {3, 5, 33, 16},  {1, 7, 6, 33},
                                 {2, 16, 16, 64}, {1, 3, 300, 8}, {1, 531, 3, 8}, {2, 31, 29, 24}, {1, 4, 5, 520}};

struct Inputs {
  Values x, mean, inv_std, weight, bias;
};

// Few values, so that windows hold equals, and some that the norm and ReLU make 0.
Inputs inputs(const Shape& shape) {
  Inputs all{uniform(shape, 1, -3, 3), uniform_f32({shape[3]}, 2, -1, 1), uniform_f32({shape[3]}, 3, 0.5, 2),
             uniform_f32({shape[3]}, 4, -1, 1), uniform_f32({shape[3]}, 5, -1, 1)};
  for (double& value : all.x.values) value = std::round(value * 2) / 2;
  return all;
}

Case in_one(const Shape& shape, const Pool2dSpec& spec, const Inputs& of) {
  return {.name = "norm and pool of " + to_string(shape),
          .in = {of.x, of.mean, of.inv_std, of.weight, of.bias},
          .out = {room(pooled(shape, spec)), room(pooled(shape, spec), DType::u8)},
          .run = [spec](Backend& b, auto in, auto out) {
            b.run(op::BatchNormReluMaxPool2d{
                .x = in[0], .mean = in[1], .inv_std = in[2], .weight = in[3], .bias = in[4], .spec = spec, .y = out[0], .index = out[1]});
          }};
}

// y, places, and what the pool reads.
Case in_two(const Shape& shape, const Pool2dSpec& spec, const Inputs& of) {
  Case c = in_one(shape, spec, of);
  c.out.push_back(room(shape));
  c.run = [spec](Backend& b, auto in, auto out) {
    b.run(op::BatchNormApply{.x = in[0], .mean = in[1], .inv_std = in[2], .weight = in[3], .bias = in[4], .relu = true, .y = out[2]});
    b.run(op::MaxPool2d{out[2], spec, out[0], out[1]});
  };
  return c;
}

void expect_same_bits(const std::vector<double>& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i)
    ASSERT_TRUE(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i] && std::signbit(got[i]) == std::signbit(want[i]))
        << what << ", element " << i << ": " << got[i] << ", not " << want[i];
}

TEST_P(CudaNormPool, HasTheBitsOfNormReluAndPool) {
  for (const Pool2dSpec& spec : {kPadded, kBare})
    for (const Shape& shape : kShapes)
      for (const double special : {0.5, std::nan(""), std::numeric_limits<double>::infinity(), -0.0}) {
        Inputs of = inputs(shape);
        for (size_t i = 0; i < of.x.values.size(); i += 11) of.x.values[i] = special;
        const Case one = in_one(shape, spec, of);
        const auto got = run_on(device_under_test(), one, GetParam()),
                   want = run_on(device_under_test(), in_two(shape, spec, of), GetParam());
        expect_same_bits(got[0], want[0], one.name);
        for (size_t i = 0; i < want[1].size(); ++i)
          ASSERT_EQ(got[1][i], want[0][i] <= 0 ? kNoPlace : want[1][i]) << one.name << ", place " << i;
        expect_same_bits(run_on(device_under_test(), without(one, {1}), GetParam())[0], want[0], one.name + " without places");
      }
}

// dx, dweight, dbias.
struct Wanted {
  bool dx = true, sums = true, training = true;
};

Case back_in_one(const Shape& shape, const Pool2dSpec& spec, const Inputs& of, const Values& dy, const std::vector<double>& places,
                 const Wanted& wanted = {}) {
  return {.name = "the backward pass of " + to_string(shape),
          .in = {of.x, of.mean, of.inv_std, of.weight, dy, {dy.shape, places, DType::u8}},
          .out = {room(shape), room({shape[3]}, DType::f32), room({shape[3]}, DType::f32)},
          .run = [spec, wanted](Backend& b, auto in, auto out) {
            b.run(op::BatchNormBackward{.dy = in[4],
                                        .x = in[0],
                                        .mean = in[1],
                                        .inv_std = in[2],
                                        .weight = in[3],
                                        .training = wanted.training,
                                        .dx = wanted.dx ? out[0] : View(),
                                        .dweight = wanted.sums ? out[1] : View(),
                                        .dbias = wanted.sums ? out[2] : View(),
                                        .index = in[5],
                                        .pool = spec});
          }};
}

// The ReLU's result is the third output of the forward pass, which says where dy passes; the pool's gradient is stored.
Case back_in_two(const Shape& shape, const Pool2dSpec& spec, const Inputs& of, const Values& dy, const std::vector<double>& places,
                 const std::vector<double>& activated, const Wanted& wanted = {}) {
  Case c = back_in_one(shape, spec, of, dy, places, wanted);
  c.in.push_back({shape, activated});
  c.out.push_back(room(shape));
  c.run = [spec, wanted](Backend& b, auto in, auto out) {
    b.run(op::MaxPool2dBackward{in[4], in[5], spec, out[3]});
    b.run(op::BatchNormBackward{.dy = out[3],
                                .x = in[0],
                                .mean = in[1],
                                .inv_std = in[2],
                                .weight = in[3],
                                .y = in[6],
                                .relu = true,
                                .training = wanted.training,
                                .dx = wanted.dx ? out[0] : View(),
                                .dweight = wanted.sums ? out[1] : View(),
                                .dbias = wanted.sums ? out[2] : View()});
  };
  return c;
}

TEST_P(CudaNormPool, GoesBackWithTheBitsOfPoolAndNorm) {
  for (const Pool2dSpec& spec : {kPadded, kBare})
    for (const Shape& shape : kShapes)
      for (const Wanted& wanted : {Wanted{}, Wanted{.training = false}, Wanted{.dx = false}, Wanted{.sums = false}}) {
        const Inputs of = inputs(shape);
        const auto there = run_on(device_under_test(), in_two(shape, spec, of), GetParam()),
                   fused = run_on(device_under_test(), in_one(shape, spec, of), GetParam());
        const Values dy = uniform(pooled(shape, spec), 6);
        const Case one = back_in_one(shape, spec, of, dy, fused[1], wanted),
                   two = back_in_two(shape, spec, of, dy, there[1], there[2], wanted);
        const auto got = run_on(device_under_test(), one, GetParam()), want = run_on(device_under_test(), two, GetParam());
        for (size_t o = 0; o < 3; ++o) expect_same_bits(got[o], want[o], one.name + ", output " + std::to_string(o));
      }
}

// So many rows that a class has several blocks, of octets and of single channels, with each set of outputs.
TEST_P(CudaNormPool, GoesBackOfManyRowsToo) {
  const GridsOfAGpu grids;
  for (const Shape& shape : {Shape{1, 265, 265, 8}, Shape{1, 60, 59, 12}}) {
    const Inputs of = inputs(shape);
    const auto fused = run_on(device_under_test(), in_one(shape, kPadded, of), GetParam()),
               there = run_on(device_under_test(), in_two(shape, kPadded, of), GetParam());
    const Values dy = uniform(pooled(shape, kPadded), 6);
    const Case one = back_in_one(shape, kPadded, of, dy, fused[1]);
    const auto want = run_on(device_under_test(), back_in_two(shape, kPadded, of, dy, there[1], there[2]), GetParam());
    for (const std::initializer_list<size_t> absent : {std::initializer_list<size_t>{}, {0}, {1}, {2}, {1, 2}, {0, 1}}) {
      const auto got = run_on(device_under_test(), without(one, absent), GetParam());
      for (size_t o = 0; o < 3; ++o)
        if (std::find(absent.begin(), absent.end(), o) == absent.end())
          expect_same_bits(got[o], want[o], one.name + ", output " + std::to_string(o));
    }
  }
}

TEST_P(CudaNormPool, HasThemWithTheGridsOfAGpuAndAtAnyAddress) {
  const Shape shape{2, 32, 32, 64};
  const Inputs of = inputs(shape);
  const Values dy = uniform(pooled(shape, kPadded), 6);
  const auto there = run_on(device_under_test(), in_two(shape, kPadded, of), GetParam()),
             fused = run_on(device_under_test(), in_one(shape, kPadded, of), GetParam());
  const GridsOfAGpu grids;
  const auto got = run_on(device_under_test(), back_in_one(shape, kPadded, of, dy, fused[1]), GetParam()),
             want = run_on(device_under_test(), back_in_two(shape, kPadded, of, dy, there[1], there[2]), GetParam());
  for (size_t o = 0; o < 3; ++o) expect_same_bits(got[o], want[o], "output " + std::to_string(o));

  const Shape few{2, 5, 6, 8};
  const Inputs moved{moved_by_one(inputs(few).x), inputs(few).mean, inputs(few).inv_std, inputs(few).weight, inputs(few).bias};
  Case plain = in_one(few, kPadded, inputs(few)), shifted_case = in_one(few, kPadded, inputs(few));
  const Shape y = pooled(few, kPadded);
  shifted_case.in[0] = moved.x;
  shifted_case.out = {room(flat_and_one(y)), room(flat_and_one(y), DType::u8)};
  shifted_case.run = [=, run = plain.run](Backend& b, std::span<const ConstView> in, std::span<const View> out) {
    const std::vector<ConstView> inside{one_further(in[0], few), in[1], in[2], in[3], in[4]};
    const std::vector<View> outside{one_further(out[0], y), one_further(out[1], y)};
    run(b, inside, outside);
  };
  const auto at_odd = run_on(device_under_test(), shifted_case, GetParam()), at_even = run_on(device_under_test(), plain, GetParam());
  for (size_t o = 0; o < 2; ++o)
    expect_same_bits({at_odd[o].begin() + 1, at_odd[o].end()}, at_even[o], "one element further, output " + std::to_string(o));
}

TEST_P(CudaNormPool, HasTheSameBitsInAnyOrder) {
  const Shape shape{2, 9, 9, 64};
  const Inputs of = inputs(shape);
  const auto fused = run_on(device_under_test(), in_one(shape, kPadded, of), GetParam());
  expect_same_in_any_order(in_one(shape, kPadded, of), GetParam());
  expect_same_in_any_order(back_in_one(shape, kPadded, of, uniform(pooled(shape, kPadded), 6), fused[1]), GetParam());
}

}  // namespace
}  // namespace mirilla::test::batch_norm
