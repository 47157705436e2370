// SPDX-License-Identifier: MIT
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/kernels/cuda/batch_norm_cases.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test::batch_norm {
namespace {

class CudaBatchNorm : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaBatchNorm, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

int64_t channels(const Shape& shape) { return shape[-1]; }
double at(const Values& values, size_t i) { return values.values[i]; }

template <class F>
std::vector<double> each(const Shape& shape, F&& f) {
  std::vector<double> all(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = f(i, i % static_cast<size_t>(channels(shape)));
  return all;
}
template <class F>
std::vector<double> each_channel(const Shape& shape, F&& f) {
  std::vector<double> sums(static_cast<size_t>(channels(shape)));
  for (size_t i = 0; i < static_cast<size_t>(shape.numel()); ++i) sums[i % sums.size()] += f(i, i % sums.size());
  return sums;
}

// --- Statistics --------------------------------------------------------------------------------------------------------------------------

Values running(int64_t c, double value) { return {{c}, std::vector<double>(static_cast<size_t>(c), value), DType::f32}; }

/// The sums are of x minus a value of the channel, so the mean is as exact as the deviation is small: 4 deviations count as the size of a
/// term. Variances are sums of values that are not negative: 1e-5 of themselves.
Case statistics_case(const std::string& name, const Values& x, double eps = 1e-5) {
  const int64_t c = channels(x.shape);
  return {.name = name + to_string(x.shape),
          .in = {x},
          .out = {room({c}, DType::f32), room({c}, DType::f32), running(c, 0.25), running(c, 2)},
          .run =
              [eps](Backend& b, auto in, auto out) {
                b.run(op::BatchNormStatistics{
                    .x = in[0], .eps = eps, .mean = out[0], .inv_std = out[1], .running_mean = out[2], .running_var = out[3]});
              },
          .magnitudes =
              [](const auto& want) {
                auto sizes = want;
                for (size_t i = 0; i < want[0].size(); ++i) {
                  sizes[0][i] = 4 / want[1][i];
                  sizes[2][i] = 0.25 + std::abs(want[0][i]);
                }
                return sizes;
              }};
}

TEST_P(CudaBatchNorm, StatisticsEqualTheReference) {
  for (const Shape& shape : shapes()) expect_equal_to_reference(statistics_case("statistics", uniform(shape, 1, -1, 3)), GetParam());
}

// So many rows that a thread takes several at a time, and that a class of blocks has more than two, of channels that suit no vector or one.
TEST_P(CudaBatchNorm, StatisticsOfManyRows) {
  const GridsOfAGpu grids;
  for (const Shape& shape : {Shape{20001, 5}, Shape{70001, 8}})
    expect_equal_to_reference(statistics_case("statistics", uniform(shape, 1, -1, 3)), GetParam());
}

TEST_P(CudaBatchNorm, StatisticsOfAnInfiniteChannelLeaveTheOthers) {
  for (const Shape& shape : {Shape{901, 5}, Shape{901, 8}, Shape{40, 136}}) {
    Values x = uniform(shape, 1, -1, 3);
    x.values[static_cast<size_t>(7 * shape[-1] + 2)] = std::numeric_limits<double>::infinity();
    expect_equal_to_reference(statistics_case("an infinity", x), GetParam());
  }
}

// Blocks are counted, and the counters are 0 again after each: a replay has its own.
TEST(CudaBatchNormStatistics, ReplayedAndNotTheyTakeTurns) {
  Device& device = device_under_test();
  const Values x = uniform({3500, 12}, 1), y = uniform({700, 12}, 2);
  const DeviceTensor in(device, x, DType::f32), other(device, y, DType::f32);
  const DeviceTensor mean(device, room({12}), DType::f32), inv_std(device, room({12}), DType::f32);
  const auto find = [&](const DeviceTensor& of) {
    device.backend().run(op::BatchNormStatistics{.x = of.const_view(), .mean = mean.view(), .inv_std = inv_std.view()});
  };
  find(in);
  const auto of_x = mean.read();
  find(other);
  const auto of_y = mean.read();
  ASSERT_NE(of_x, of_y);
  const auto replay = device.record([&] { find(in); });
  EXPECT_EQ(replay->size(), 1u) << "one kernel: scratch memory is the recording's";
  for (int turn = 0; turn < 3; ++turn) {
    find(other);
    EXPECT_EQ(mean.read(), of_y) << turn;
    replay->run();
    replay->run();
    EXPECT_EQ(mean.read(), of_x) << turn;
  }
}

TEST_P(CudaBatchNorm, StatisticsOfASliceThatSuitsNoVector) {
  for (const Shape& shape : {Shape{3, 5, 7, 16}, Shape{33, 5}}) {
    Case c = statistics_case("a slice", uniform(shape, 1));
    c.in[0] = moved_by_one(c.in[0]);
    c.run = [shape](Backend& b, auto in, auto out) {
      b.run(op::BatchNormStatistics{
          .x = one_further(in[0], shape), .mean = out[0], .inv_std = out[1], .running_mean = out[2], .running_var = out[3]});
    };
    expect_equal_to_reference(c, GetParam());
  }
}

TEST_P(CudaBatchNorm, StatisticsOfNoRowsAreNaN) {
  expect_equal_to_reference(statistics_case("no rows", room({0, 4, 4, 8})), GetParam());
  expect_equal_to_reference(statistics_case("no rows", room({0, 3})), GetParam());
  expect_equal_to_reference(statistics_case("no channels", room({5, 0})), GetParam());
}

TEST_P(CudaBatchNorm, RunningStatisticsMayBeAbsent) {
  const Case all = statistics_case("with", uniform({40, 24}, 2));
  const auto want = run_on(device_under_test(), all, GetParam()), got = run_on(device_under_test(), without(all, {2, 3}), GetParam());
  EXPECT_EQ(got[0], want[0]);
  EXPECT_EQ(got[1], want[1]);
}

TEST_P(CudaBatchNorm, WhatIsNotFiniteStaysInItsChannel) {
  for (const int64_t c : {int64_t{8}, int64_t{3}}) {
    const Case finite = statistics_case("infinity", uniform({50, c}, 3));
    Case with = finite;
    with.in[0].values[static_cast<size_t>(20 * c + 1)] = std::numeric_limits<double>::infinity();
    const auto got = run_on(device_under_test(), with, GetParam()), want = run_on(device_under_test(), finite, GetParam());
    for (size_t o = 0; o < got.size(); ++o)
      for (size_t i = 0; i < got[o].size(); ++i)
        if (i == 1)
          EXPECT_FALSE(std::isfinite(got[o][i])) << "output " << o;
        else
          EXPECT_EQ(got[o][i], want[o][i]) << "output " << o;
  }
}

// Enough rows for several blocks, whose merged squares exceed the range of f32.
TEST(CudaBatchNormStatistics, AVarianceBeyondF32IsSummedAgainInF64) {
  for (const int64_t c : {int64_t{16}, int64_t{5}}) {
    Values x = uniform({20000, c}, 6);
    for (size_t i = 0; i < x.values.size(); i += static_cast<size_t>(c)) x.values[i] *= 1e25;  // channel 0 only
    const Case huge = statistics_case("huge", x);
    const auto got = run_on(device_under_test(), huge, DType::f32), want = run_on(open_device("reference"), huge, DType::f64);
    for (size_t i = 0; i < static_cast<size_t>(c); ++i) {
      EXPECT_NEAR(got[0][i], want[0][i], 1e-5 / want[1][i]) << "mean of channel " << i;
      EXPECT_NEAR(got[1][i], want[1][i], 1e-5 * want[1][i]) << "inv_std of channel " << i;
    }
    EXPECT_TRUE(std::isinf(got[3][0])) << "running_var " << got[3][0];
    expect_same_in_any_order(huge, DType::f32);
  }
}

// Near 1000 the spacing of f32 is 6e-5: E[x^2] - E[x]^2 would leave no digit of a variance of 1e-4. The bounds are those of the other
// cases.
TEST(CudaBatchNormStatistics, AMeanFarFromZeroCostsNoDigits) {
  for (const Shape& shape : {Shape{16, 9, 9, 33}, Shape{16, 16, 16, 32}, Shape{9, 1}}) {
    const double deviation = 1e-2;
    expect_equal_to_reference(
        statistics_case("mean 1000", uniform(shape, 4, 1000 - std::sqrt(3) * deviation, 1000 + std::sqrt(3) * deviation), 1e-9),
        DType::f32);
  }
}

TEST(CudaBatchNormStatistics, AnOutlierInAnyRowCostsNoDigitsOfTheOthers) {
  for (const size_t row : {0, 500, 1000, 1999}) {
    Values x = uniform({2000, 16}, 5);
    for (size_t c = 0; c < 16; ++c) x.values[row * 16 + c] = 1e4;
    expect_equal_to_reference(statistics_case("an outlier in row " + std::to_string(row), x), DType::f32);
  }
}

TEST(CudaBatchNormStatistics, AConstantChannelIsItsOwnMean) {
  Values x = room({3000, 8});
  x.values.assign(24000, 1000.1);
  const auto got = run_on(device_under_test(), statistics_case("constant", x), DType::f32);
  for (size_t c = 0; c < 8; ++c) {
    EXPECT_EQ(got[0][c], static_cast<double>(1000.1f));
    EXPECT_EQ(got[1][c], static_cast<double>(1 / std::sqrt(1e-5f)));
  }
}

// --- Both in one launch ------------------------------------------------------------------------------------------------------------------

/// x, weight, bias, residual; mean, inv_std, both running statistics, y, normalized, mask
Case whole_case(const Values& x, bool residual, bool relu) {
  const Shape& shape = x.shape;
  const int64_t c = channels(shape);
  return {
      .name = {},
      .in = {x, uniform_f32({c}, 4), uniform_f32({c}, 5, -1, 1), uniform(shape, 6)},
      .out = {room({c}, DType::f32), room({c}, DType::f32), uniform_f32({c}, 7), uniform_f32({c}, 8, 1, 2), room(shape), room(shape),
              room({(shape.numel() + 7) / 8}, DType::u8)},
      .run = [=](Backend& b, auto in, auto out) {
        b.run(op::BatchNorm{.statistics = {.x = in[0], .mean = out[0], .inv_std = out[1], .running_mean = out[2], .running_var = out[3]},
                            .weight = in[1],
                            .bias = in[2],
                            .residual = residual ? in[3] : ConstView{},
                            .relu = relu,
                            .y = out[4],
                            .normalized = out[5],
                            .mask = out[6]});
      }};
}

/// Bits: a NaN equals itself.
std::vector<std::vector<uint64_t>> bits_of(const std::vector<std::vector<double>>& outputs) {
  std::vector<std::vector<uint64_t>> bits;
  for (const auto& output : outputs) {
    bits.emplace_back();
    for (const double value : output) bits.back().push_back(std::bit_cast<uint64_t>(value));
  }
  return bits;
}

// Rows that are kept in shared memory, and rows that are read again; more blocks than classes; tails; what no octet suits.
TEST_P(CudaBatchNorm, InOneLaunchHasTheBitsOfTwo) {
  for (const Shape& shape : {Shape{40, 24}, Shape{5, 520}, Shape{2, 8}, Shape{40000, 8}, Shape{3001, 64}, Shape{400, 1032}, Shape{33, 5}})
    for (const auto& [residual, relu] : {std::pair(true, true), {true, false}, {false, true}, {false, false}}) {
      SCOPED_TRACE(to_string(shape));
      const GridsOfAGpu grids(shape[0] == 40000 ? 20 : 4);
      Values x = uniform(shape, 1, -1, 3);
      if (shape == Shape{3001, 64}) x.values[64 * 2000 + 3] = std::numeric_limits<double>::infinity(), x.values[7] = 1e30;
      const auto in_launches = [&, with = whole_case(x, residual, relu)](int launches) {
        const LaunchesOfANorm scope(launches);
        return bits_of(run_on(device_under_test(), with, GetParam()));
      };
      EXPECT_EQ(in_launches(1), in_launches(2));
    }
}

TEST_P(CudaBatchNorm, InOneLaunchIsOneKernelAndTheSameInAnyOrder) {
  Case c = whole_case(uniform({300, 16}, 1), true, true);
  expect_same_in_any_order(c, GetParam());
  const auto want = run_on(device_under_test(), c, GetParam());
  size_t recorded = 0;
  c.run = [run = c.run, &recorded](Backend& b, std::span<const ConstView> in, std::span<const View> out) {
    const auto replay = device_under_test().record([&] { run(b, in, out); });
    recorded = replay->size();
    replay->run();
    device_under_test().synchronize();
  };
  EXPECT_EQ(run_on(device_under_test(), c, GetParam()), want);
  EXPECT_EQ(recorded, 1u) << "the kernel: scratch memory is the recording's";
}

TEST(NormLaunches, AreOneOrTwoAsTheEnvironmentSays) {
  constexpr const char* kName = "MIRILLA_NORM_LAUNCHES";
  const char* const value = std::getenv(kName);
  const std::optional<std::string> before = value ? std::optional<std::string>(value) : std::nullopt;
  for (const auto& [text, launches] : {std::pair{"", 1}, {"1", 1}, {"2", 2}}) {
    setenv(kName, text, 1);
    EXPECT_EQ(norm_launches_from_environment(), launches);
  }
  for (const char* const text : {"0", "3", "two", "1 "}) {
    setenv(kName, text, 1);
    EXPECT_THROW(norm_launches_from_environment(), UsageError) << text;
  }
  if (before)
    setenv(kName, before->c_str(), 1);
  else
    unsetenv(kName);
}

// --- Apply -------------------------------------------------------------------------------------------------------------------------------

/// x, mean, inv_std, weight, bias, residual
std::vector<Values> operands(const Shape& shape) {
  const int64_t c = channels(shape);
  return {uniform(shape, 1),   uniform_f32({c}, 2, -0.2, 0.2), uniform_f32({c}, 3, 1, 3),
          uniform_f32({c}, 4), uniform_f32({c}, 5, -1, 1),     uniform(shape, 6)};
}

op::BatchNormApply apply_call(std::span<const ConstView> in, bool residual, bool relu) {
  return {.x = in[0],
          .mean = in[1],
          .inv_std = in[2],
          .weight = in[3],
          .bias = in[4],
          .residual = residual ? in[5] : ConstView{},
          .relu = relu,
          .y = {},
          .normalized = {},
          .mask = {}};
}

/// In one call if the device has it, else in the three steps that it replaces. An absent `normalized` is skipped.
void apply(Backend& b, op::BatchNormApply call) {
  if (b.has<op::BatchNormAddRelu>()) return b.run(call);
  const ConstView residual = std::exchange(call.residual, {});
  const bool relu = std::exchange(call.relu, false);
  b.run(call);
  if (residual) b.run(op::Add{call.y, residual, call.y});
  if (relu) b.run(op::Relu{call.y, call.y});
}

Case apply_case(const Shape& shape, bool residual, bool relu) {
  const std::vector<Values> in = operands(shape);
  return {.name = "apply" + to_string(shape) + (residual ? " residual" : "") + (relu ? " relu" : ""),
          .in = in,
          .out = {room(shape), room(shape)},
          .run =
              [=](Backend& b, auto views, auto out) {
                op::BatchNormApply call = apply_call(views, residual, relu);
                call.y = out[0], call.normalized = out[1];
                apply(b, call);
              },
          .magnitudes =
              [=](const auto&) {
                const auto normalized = each(shape, [&](size_t i, size_t c) {
                  return std::abs((at(in[0], i) - at(in[1], c)) * at(in[2], c) * at(in[3], c)) + std::abs(at(in[4], c));
                });
                const auto y = each(shape, [&](size_t i, size_t) { return normalized[i] + (residual ? std::abs(at(in[5], i)) : 0); });
                return std::vector{y, normalized};
              }};
}

// Three roundings in f32 before the one to the output's type: 1e-6 of the terms is 16 of them.
TEST_P(CudaBatchNorm, ApplyEqualsTheThreeStepsOfTheReference) {
  for (const Shape& shape : shapes())
    for (const bool residual : {false, true})
      for (const bool relu : {false, true}) expect_equal_to_reference(apply_case(shape, residual, relu), GetParam(), 1e-6);
  expect_equal_to_reference(apply_case({0, 4, 4, 8}, true, true), GetParam());
}

TEST_P(CudaBatchNorm, WatchingChangesNoBitAndSeesTheValueBeforeTheResidual) {
  for (const Shape& shape : {Shape{7, 9, 16}, Shape{31, 33}}) {
    const Case watched = apply_case(shape, true, true);
    const Case alone = without(watched, {1}), plain = without(apply_case(shape, false, false), {1});
    const auto both = run_on(device_under_test(), watched, GetParam());
    EXPECT_EQ(both[0], run_on(device_under_test(), alone, GetParam())[0]);
    EXPECT_EQ(both[1], run_on(device_under_test(), plain, GetParam())[0]);
  }
}

/// y and its mask.
std::vector<std::vector<double>> masked(const Shape& shape, std::vector<Values> in, bool residual, DType type) {
  const Case c{.name = {},
               .in = std::move(in),
               .out = {room(shape), room({(shape.numel() + 7) / 8}, DType::u8)},
               .run = [=](Backend& b, auto views, auto out) {
                 op::BatchNormApply call = apply_call(views, residual, true);
                 call.y = out[0], call.mask = out[1];
                 b.run(call);
               }};
  return run_on(device_under_test(), c, type);
}

void expect_bits_of(const std::vector<double>& y, const std::vector<double>& mask) {
  ASSERT_EQ(mask.size(), (y.size() + 7) / 8);
  for (size_t i = 0; i < mask.size() * 8; ++i) {
    const bool want = i < y.size() && !(y[i] <= 0);  // bits past the end are 0
    ASSERT_EQ(static_cast<unsigned>(mask[i / 8]) >> i % 8 & 1u, want ? 1u : 0u) << "element " << i << " of " << y.size();
  }
}

TEST_P(CudaBatchNorm, TheMaskHasABitForEachPositiveElement) {
  for (const Shape& shape : shapes())
    for (const bool residual : {false, true}) {
      const auto got = masked(shape, operands(shape), residual, GetParam());
      expect_bits_of(got[0], got[1]);
      EXPECT_EQ(got[0], run_on(device_under_test(), apply_case(shape, residual, true), GetParam())[0]) << "the mask changed y";
    }
}

// With this bias, elements that are read as 0 become positive.
TEST_P(CudaBatchNorm, TheMaskHasNoBitBehindTheEnd) {
  for (const Shape& shape : {Shape{3, 3}, Shape{2, 1}, Shape{5, 5}}) {
    std::vector<Values> in = operands(shape);
    for (double& x : in[4].values) x = 100;
    const auto got = masked(shape, in, false, GetParam());
    EXPECT_EQ(got[1].back(), (1 << shape.numel() % 8) - 1) << to_string(shape);
  }
}

TEST_P(CudaBatchNorm, TheMaskIsOfWhatIsStored) {
  const double nan = std::nan(""), tiny = 1e-8;  // which rounds to 0 in f16
  for (const int64_t c : {int64_t{8}, int64_t{4}}) {
    const auto n = static_cast<size_t>(c);
    Values x{{3, c}, {}, DType::f64}, zero{{c}, std::vector<double>(n, 0), DType::f32}, one{{c}, std::vector<double>(n, 1), DType::f32};
    for (size_t i = 0; i < 3 * n; ++i) x.values.push_back(std::array{tiny, -tiny, nan, 0.0, -0.0, 1.0, -1.0}[i % 7]);
    Values weight = one;
    weight.values.assign(n, 1e-8);  // times x = 1 in f16: below the smallest half
    for (const Values& w : {one, weight}) {
      const auto got = masked({3, c}, {x, zero, one, w, zero, x}, false, GetParam());
      expect_bits_of(got[0], got[1]);
      for (size_t i = 0; i < got[0].size(); ++i) EXPECT_EQ(std::isnan(got[0][i]), i % 7 == 2);
    }
  }
}

TEST_P(CudaBatchNorm, ApplyOnASliceThatSuitsNoVector) {
  const Shape shape{5, 16};
  Case c = apply_case(shape, true, true);
  const Case aligned = c;
  for (const size_t i : {0, 5}) c.in[i] = moved_by_one(c.in[i]);
  c.out = {room(flat_and_one(shape)), room(flat_and_one(shape))};
  c.run = [shape](Backend& b, auto in, auto out) {
    op::BatchNormApply call = apply_call(in, true, true);
    call.x = one_further(in[0], shape), call.residual = one_further(in[5], shape);
    call.y = one_further(out[0], shape), call.normalized = one_further(out[1], shape);
    b.run(call);
  };
  const auto want = run_on(device_under_test(), aligned, GetParam()), got = run_on(device_under_test(), c, GetParam());
  for (size_t o = 0; o < 2; ++o) {
    EXPECT_EQ(std::vector(got[o].begin() + 1, got[o].end()), want[o]);
    EXPECT_TRUE(std::isnan(got[o][0])) << "written before the slice";
  }
}

}  // namespace
}  // namespace mirilla::test::batch_norm
