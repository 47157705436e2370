// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>

#include "kernels/simt/executor.h"
#include "tests/kernels/cuda/batch_norm_cases.h"

namespace mirilla::test::batch_norm {
namespace {

enum class Relu { none, by_y, by_mask };
constexpr std::array kEveryRelu{Relu::none, Relu::by_y, Relu::by_mask};

class CudaBatchNormBackward : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaBatchNormBackward, testing::ValuesIn(float_types()),
                         [](const auto& i) { return std::string(name_of(i.param)); });

/// Bits set where not y <= 0, as batch_norm_apply writes them.
Values mask_of(const Values& y) {
  Values mask{{(y.shape.numel() + 7) / 8}, std::vector<double>((y.values.size() + 7) / 8), DType::u8};
  for (size_t i = 0; i < y.values.size(); ++i)
    if (!(y.values[i] <= 0)) mask.values[i / 8] += 1 << i % 8;
  return mask;
}

/// dy, x, mean, inv_std, weight, y, mask
std::vector<Values> operands(const Shape& shape) {
  const int64_t c = shape[-1];
  const Values y = uniform(shape, 6);
  return {uniform(shape, 1), uniform(shape, 2, -1, 3), uniform_f32({c}, 3, 0.8, 1.2), uniform_f32({c}, 4, 0.5, 2), uniform_f32({c}, 5), y,
          mask_of(y)};
}

op::BatchNormBackward backward_call(std::span<const ConstView> in, std::span<const View> out, Relu relu, bool training) {
  return {.dy = in[0],
          .x = in[1],
          .mean = in[2],
          .inv_std = in[3],
          .weight = in[4],
          .y = relu == Relu::by_y ? in[5] : ConstView{},
          .mask = relu == Relu::by_mask ? in[6] : ConstView{},
          .relu = relu != Relu::none,
          .training = training,
          .dx = out[0],
          .dresidual = out[1],
          .dweight = out[2],
          .dbias = out[3]};
}

/// The sums of absolute terms of dx, dresidual (which is exact), dweight, dbias.
std::vector<std::vector<double>> sizes_of(const std::vector<Values>& in, bool relu, bool training) {
  const size_t n = in[0].values.size(), c = in[2].values.size();
  std::vector<double> g(n), xhat(n), dweight(c), dbias(c), dx(n);
  for (size_t i = 0; i < n; ++i) {
    g[i] = relu && !(in[5].values[i] > 0) ? 0 : std::abs(in[0].values[i]);
    xhat[i] = std::abs((in[1].values[i] - in[2].values[i % c]) * in[3].values[i % c]);
    dbias[i % c] += g[i];
    dweight[i % c] += g[i] * xhat[i];
  }
  const double rows = static_cast<double>(n / c);
  for (size_t i = 0; i < n; ++i)
    dx[i] =
        std::abs(in[4].values[i % c]) * in[3].values[i % c] * (g[i] + (training ? (dbias[i % c] + xhat[i] * dweight[i % c]) / rows : 0));
  return {dx, std::vector<double>(n), dweight, dbias};
}

/// On the reference dresidual receives g first, and the plain form then continues from it.
Case backward_case(const Shape& shape, Relu relu, bool training) {
  const std::vector<Values> in = operands(shape);
  const int64_t c = shape[-1];
  return {.name = "backward" + to_string(shape) + " relu " + std::to_string(static_cast<int>(relu)) + (training ? " training" : ""),
          .in = in,
          .out = {room(shape), room(shape), room({c}, DType::f32), room({c}, DType::f32)},
          .run =
              [=](Backend& b, auto views, auto out) {
                op::BatchNormBackward call = backward_call(views, out, relu, training);
                if (!b.has<op::BatchNormAddRelu>()) {
                  if (relu == Relu::none)
                    b.run(op::Cast{views[0], out[1]});
                  else
                    b.run(op::ReluBackward{views[0], views[5], out[1]});
                  call.dy = out[1], call.relu = false, call.dresidual = {}, call.y = call.mask = {};
                }
                b.run(call);
              },
          .magnitudes = [=](const auto&) { return sizes_of(in, relu != Relu::none, training); }};
}

TEST_P(CudaBatchNormBackward, EqualsTheReference) {
  for (const Shape& shape : shapes())
    for (const Relu relu : kEveryRelu)
      for (const bool training : {false, true}) expect_equal_to_reference(backward_case(shape, relu, training), GetParam());
}

TEST_P(CudaBatchNormBackward, ByYAndByMaskAreTheSameBits) {
  for (const Shape& shape : {Shape{40, 24}, Shape{31, 33}}) {
    const auto by_y = run_on(device_under_test(), backward_case(shape, Relu::by_y, true), GetParam());
    EXPECT_EQ(by_y, run_on(device_under_test(), backward_case(shape, Relu::by_mask, true), GetParam()));
  }
}

/// Each output that is asked for alone has the bits that it has among all.
void expect_alone_as_among_all(const Case& all, std::initializer_list<size_t> outputs, DType dtype) {
  const auto want = run_on(device_under_test(), all, dtype);
  for (const size_t wanted : outputs) {
    Case one = all;
    for (size_t o = 0; o < 4; ++o)
      if (o != wanted) one = without(one, {o});
    EXPECT_EQ(run_on(device_under_test(), one, dtype)[wanted], want[wanted]) << "output " << wanted;
  }
}

TEST_P(CudaBatchNormBackward, GradientsThatNobodyWantsChangeNoneOfTheOthers) {
  for (const Shape& shape : {Shape{8, 9, 40}, Shape{50, 3}})
    for (const Relu relu : kEveryRelu)
      for (const bool training : {false, true}) expect_alone_as_among_all(backward_case(shape, relu, training), {0, 1, 2, 3}, GetParam());
}

// So many rows that a class has several blocks.
TEST_P(CudaBatchNormBackward, OfManyRowsTheyDoNotEither) {
  const GridsOfAGpu grids;
  for (const int launches : {1, 2}) {
    const LaunchesOfANorm scope(launches);
    for (const Shape& shape : {Shape{3500, 12}, Shape{70001, 8}})
      for (const Relu relu : kEveryRelu) {
        const Case c = backward_case(shape, relu, true);
        if (launches == 1) expect_equal_to_reference(c, GetParam());
        expect_alone_as_among_all(c, {0, 2, 3}, GetParam());
      }
  }
}

/// The case by the mask, of dy and a second part: added by op::Add before, or by the norm.
Case two_parts_case(const Shape& shape, bool by_the_norm) {
  Case c = backward_case(shape, Relu::by_mask, true);
  c.in.push_back(uniform(shape, 7));
  c.out.push_back(room(shape));
  c.run = [=](Backend& b, auto views, auto out) {
    op::BatchNormBackward call = backward_call(views, out, Relu::by_mask, true);
    if (by_the_norm) {
      call.dy2 = views[7];
    } else {
      b.run(op::Add{views[0], views[7], out[4]});
      call.dy = out[4];
    }
    b.run(call);
  };
  return c;
}

// So many rows that a class has several blocks, in one launch and in two, with each set of outputs.
TEST_P(CudaBatchNormBackward, OfTwoPartsAndManyRowsItHasThemToo) {
  const GridsOfAGpu grids;
  for (const Shape& shape : {Shape{70001, 8}, Shape{3500, 12}}) {
    const auto want = run_on(device_under_test(), two_parts_case(shape, false), GetParam());
    for (const int launches : {1, 2})
      for (const std::initializer_list<size_t> absent : {std::initializer_list<size_t>{}, {2}, {3}, {2, 3}, {0}, {0, 3}}) {
        const LaunchesOfANorm scope(launches);
        const auto got = run_on(device_under_test(), without(two_parts_case(shape, true), absent), GetParam());
        for (size_t o = 0; o < 4; ++o)
          if (std::find(absent.begin(), absent.end(), o) == absent.end())
            EXPECT_EQ(got[o], want[o]) << to_string(shape) << ", output " << o;
      }
  }
}

TEST_P(CudaBatchNormBackward, OfTwoPartsHasTheBitsOfTheirSum) {
  for (const Shape& shape :
       {Shape{40, 24}, Shape{31, 33}, Shape{0, 8}, Shape{3, 31, 29, 5}, Shape{5, 520}, Shape{2, 8001}, Shape{7000, 16}})
    for (const bool many_blocks : {false, true}) {
      SCOPED_TRACE(to_string(shape));
      std::optional<GridsOfAGpu> grids;
      if (many_blocks) grids.emplace();
      const Case parts = two_parts_case(shape, true);
      const auto want = run_on(device_under_test(), two_parts_case(shape, false), GetParam());
      const auto expect_want = [&](const Case& c, std::initializer_list<size_t> outputs) {
        const auto got = run_on(device_under_test(), c, GetParam());
        for (const size_t o : outputs) EXPECT_EQ(got[o], want[o]) << "output " << o;
      };
      expect_want(parts, {0, 1, 2, 3});
      expect_want(without(parts, {0}), {1, 2, 3});
      expect_want(without(parts, {2, 3}), {0, 1});
      expect_want(without(parts, {0, 2}), {1, 3});
    }
}

TEST_P(CudaBatchNormBackward, TakesOneKernelOrTwoWithTheSameBits) {
  Case c = backward_case({40, 24}, Relu::by_y, true);
  const std::optional<LaunchesOfANorm> two(2);
  const auto want = run_on(device_under_test(), c, GetParam());
  size_t recorded = 0;
  c.run = [run = c.run, &recorded](Backend& b, std::span<const ConstView> in, std::span<const View> out) {
    const auto replay = device_under_test().record([&] { run(b, in, out); });
    recorded = replay->size();
    replay->run();
    device_under_test().synchronize();
  };
  EXPECT_EQ(run_on(device_under_test(), c, GetParam()), want);
  EXPECT_EQ(recorded, 2u) << "scratch memory is the recording's";
  const LaunchesOfANorm one(1);
  EXPECT_EQ(run_on(device_under_test(), c, GetParam()), want);
  EXPECT_EQ(recorded, 1u);
}

// Rows that are kept in shared memory, and rows that are read again; more blocks than classes; tails.
TEST_P(CudaBatchNormBackward, InOneLaunchHasTheBitsOfTwo) {
  for (const Shape& shape : {Shape{40, 24}, Shape{5, 520}, Shape{1, 8}, Shape{40000, 8}, Shape{400, 1032}})
    for (const Relu relu : kEveryRelu)
      for (const bool residual : {true, false}) {
        const bool many_blocks = shape[0] == 40000;
        SCOPED_TRACE(to_string(shape));
        const GridsOfAGpu grids(many_blocks ? 20 : 4);
        const Case plain = backward_case(shape, relu, true), c = residual ? plain : without(plain, {1});
        const auto in_launches = [&](int launches) {
          const LaunchesOfANorm scope(launches);
          auto got = run_on(device_under_test(), c, GetParam());
          if (!residual) got.erase(got.begin() + 1);  // poison
          return got;
        };
        EXPECT_EQ(in_launches(1), in_launches(2));
      }
  for (const Relu relu : kEveryRelu) {
    const Case all = backward_case({40, 24}, relu, true);
    const auto want = run_on(device_under_test(), all, GetParam());
    for (const size_t absent : {2, 3}) EXPECT_EQ(run_on(device_under_test(), without(all, {absent}), GetParam())[0], want[0]);
  }
}

TEST_P(CudaBatchNormBackward, OfNoRowsIsZero) {
  for (const Relu relu : kEveryRelu) {
    expect_equal_to_reference(backward_case({0, 4, 4, 8}, relu, true), GetParam());
    expect_equal_to_reference(backward_case({0, 3}, relu, false), GetParam());
  }
}

// With given statistics, dx does not depend on x: an infinity in x has no effect.
TEST_P(CudaBatchNormBackward, GivenStatisticsNeedNoXForDx) {
  Case c = without(backward_case({40, 24}, Relu::by_y, false), {2, 3});
  const auto want = run_on(device_under_test(), c, GetParam());
  c.in[1] = room({40, 24});  // poisoned: NaN everywhere
  const auto got = run_on(device_under_test(), c, GetParam());
  EXPECT_EQ(got[0], want[0]);
  EXPECT_EQ(got[1], want[1]);
}

TEST_P(CudaBatchNormBackward, OnASliceThatSuitsNoVector) {
  const Shape shape{21, 16};
  const Case aligned = backward_case(shape, Relu::by_y, true);
  Case c = aligned;
  for (const size_t i : {0, 1, 5}) c.in[i] = moved_by_one(c.in[i]);
  c.out[0].shape = c.out[1].shape = flat_and_one(shape);
  c.run = [shape](Backend& b, auto in, auto out) {
    op::BatchNormBackward call = backward_call(in, out, Relu::by_y, true);
    call.dy = one_further(call.dy, shape), call.x = one_further(call.x, shape), call.y = one_further(call.y, shape);
    call.dx = one_further(call.dx, shape), call.dresidual = one_further(call.dresidual, shape);
    b.run(call);
  };
  const auto want = run_on(device_under_test(), aligned, GetParam()), got = run_on(device_under_test(), c, GetParam());
  EXPECT_EQ(std::vector(got[1].begin() + 1, got[1].end()), want[1]);
  EXPECT_TRUE(std::isnan(got[0][0]) && std::isnan(got[1][0])) << "written before the slice";
  // Sums are computed in another order here, so dx may differ by rounding.
  const auto sizes = sizes_of(aligned.in, true, true);
  const double unit = GetParam() == DType::f32 ? 0x1p-24 : GetParam() == DType::f16 ? 0x1p-11 : 0x1p-8;
  for (size_t i = 0; i < want[0].size(); ++i)
    EXPECT_NEAR(got[0][i + 1], want[0][i], 2 * unit * std::abs(want[0][i]) + 1e-5 * sizes[0][i] + 0x1p-24);
}

// --- Order -------------------------------------------------------------------------------------------------------------------------------

// In any order of threads and blocks: a race would be found.
TEST_P(CudaBatchNormBackward, AnyScheduleGivesTheSameBits) {
  for (const Shape& shape : {Shape{300, 16}, Shape{90, 5}}) {
    const int64_t c = shape[-1];
    const Case backward = backward_case(shape, Relu::by_mask, true);
    const Case two_parts = two_parts_case(shape, true);
    const Case forward{
        .name = {},
        .in = {uniform(shape, 1), uniform_f32({c}, 2), uniform_f32({c}, 3), uniform(shape, 4)},
        .out = {room({c}, DType::f32), room({c}, DType::f32), room(shape), room({(shape.numel() + 7) / 8}, DType::u8)},
        .run = [](Backend& b, auto in, auto out) {
          b.run(op::BatchNormStatistics{.x = in[0], .mean = out[0], .inv_std = out[1], .running_mean = {}, .running_var = {}});
          b.run(op::BatchNormApply{.x = in[0],
                                   .mean = out[0],
                                   .inv_std = out[1],
                                   .weight = in[1],
                                   .bias = in[2],
                                   .residual = in[3],
                                   .relu = true,
                                   .y = out[2],
                                   .normalized = {},
                                   .mask = out[3]});
        }};
    const auto want_forward = run_on(device_under_test(), forward, GetParam());
    const auto want_backward = run_on(device_under_test(), backward, GetParam());
    const auto want_two_parts = run_on(device_under_test(), two_parts_case(shape, false), GetParam());
    for (const uint64_t seed : {1, 2, 3}) {
      simt::set_schedule_seed(seed);
      EXPECT_EQ(run_on(device_under_test(), forward, GetParam()), want_forward) << seed;
      EXPECT_EQ(run_on(device_under_test(), backward, GetParam()), want_backward) << seed;
      const auto got = run_on(device_under_test(), two_parts, GetParam());
      EXPECT_TRUE(std::ranges::equal(std::span(got).first(4), std::span(want_two_parts).first(4))) << seed;
    }
    simt::set_schedule_seed(0);
  }
}

}  // namespace
}  // namespace mirilla::test::batch_norm
