// SPDX-License-Identifier: MIT
// What the table of operations promises in edge cases, checked on every device with numbers written here: ties, NaN, infinities, empty
// tensors. The bulk of the arithmetic is compared in tests/engine.
#include "kernels/core/backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/devices.h"
#include "tests/kernels/buffer.h"

namespace mirilla {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Floats = std::vector<float>;

// Equal bits, except that a NaN equals any NaN.
void expect_same(const Floats& got, const Floats& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << "element " << i << " is " << got[i];
    } else {
      EXPECT_EQ(got[i], expected[i]) << "element " << i;
    }
  }
}

class EveryBackend : public ::testing::TestWithParam<std::string> {
 protected:
  Buffer<float> floats(const Shape& shape, const Floats& values) { return {device_, shape, values}; }
  Buffer<float> floats(const Shape& shape) { return {device_, shape}; }

  Device& device_ = open_device(GetParam());
  Backend& backend_ = device_.backend();
};

TEST_P(EveryBackend, FillsEveryDType) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::u8, DType::i64}) {
    dispatch_any(dtype, [&]<class T>() {
      Buffer<T> y(device_, {7});
      Buffer<float> back(device_, {7});
      backend_.run(op::Fill{y, 5});
      backend_.run(op::Cast{y, back});
      expect_same(back.values(), Floats(7, 5.0f));
    });
  }
}

TEST_P(EveryBackend, AddsInPlace) {
  auto a = floats({3}, {1, 2, 3}), b = floats({3}, {10, 20, 30});
  backend_.run(op::Add{a, b, a});
  expect_same(a.values(), {11, 22, 33});
  backend_.run(op::Add{b, a, a});
  expect_same(a.values(), {21, 42, 63});
}

TEST_P(EveryBackend, MultipliesByATensorOrByOneElement) {
  auto a = floats({4}, {1, -2, 3, kInfinity}), b = floats({4}, {2, 3, -0.5f, 0}), one = floats({1}, {-2}), y = floats({4});
  backend_.run(op::Multiply{a, b, y});
  expect_same(y.values(), {2, -6, -1.5f, kNaN});
  backend_.run(op::Multiply{a, one, y});
  expect_same(y.values(), {-2, 4, -6, -kInfinity});
}

TEST_P(EveryBackend, LetsNaNPassThroughReluAndItsGradientButNotAtTheKink) {
  auto x = floats({6}, {-1, 0, 2, kNaN, -kInfinity, kInfinity}), y = floats({6}), dx = floats({6});
  backend_.run(op::Relu{x, y});
  expect_same(y.values(), {0, 0, 2, kNaN, 0, kInfinity});
  auto dy = floats({6}, {1, 2, 3, 4, 5, 6});
  backend_.run(op::ReluBackward{dy, y, dx});
  expect_same(dx.values(), {0, 0, 3, 4, 0, 6});
}

TEST_P(EveryBackend, KeepsTheElementsThatPhiloxSaysAndScalesThem) {
  const DropoutSpec spec{.p = 0.25, .key = {.seed = 5, .purpose = Purpose::kDropout, .step = 3, .item = 1}};
  constexpr uint32_t kCount = 1003;
  auto x = floats({kCount}, Floats(kCount, 3.0f)), y = floats({kCount});
  backend_.run(op::Dropout{x, spec, y});
  Floats expected(kCount);
  int kept = 0;
  for (uint32_t i = 0; i < kCount; ++i)
    if (to_unit(spec.key.bits(i)) >= 0.25f) expected[i] = 4.0f, ++kept;
  expect_same(y.values(), expected);
  EXPECT_NEAR(kept, 752, 70) << "five standard deviations";
}

TEST_P(EveryBackend, FindsTheFirstOfEqualsAndTakesNaNForTheLargest) {
  auto x = floats({4, 3}, {1, 7, 7, -kInfinity, -kInfinity, -kInfinity, kInfinity, kNaN, kNaN, 3, 2, 1});
  Buffer<int64_t> y(device_, {4});
  backend_.run(op::Argmax{x, y});
  EXPECT_EQ(y.values(), (std::vector<int64_t>{1, 0, 1, 0}));
}

TEST_P(EveryBackend, PoolsTheFirstOfEqualsPastPaddingAndTakesTheLastNaN) {
  // One channel, 3x3, window 2, stride 2, padding 1: four windows of 1, 2, 2 and 4 pixels. All negative, so that padding would win as a
  // zero.
  auto x = floats({1, 3, 3, 1}, {-5, -2, -2, -3, -9, kNaN, -3, kNaN, -1}), y = floats({1, 2, 2, 1}), dx = floats({1, 3, 3, 1});
  Buffer<uint8_t> index(device_, {1, 2, 2, 1});
  const Pool2dSpec spec{.window = 2, .stride = 2, .padding = 1};
  backend_.run(op::MaxPool2d{x, spec, y, index});
  expect_same(y.values(), {-5, -2, -3, kNaN});
  EXPECT_EQ(index.values(), (std::vector<uint8_t>{3, 2, 1, 2}));
  auto dy = floats({1, 2, 2, 1}, {1, 2, 4, 8});
  backend_.run(op::MaxPool2dBackward{dy, index, spec, dx});
  expect_same(dx.values(), {1, 2, 0, 4, 0, 0, 0, 8, 0});
}

TEST_P(EveryBackend, AddsUpWhereSeveralWindowsChoseOnePixel) {
  auto x = floats({1, 3, 3, 1}, {0, 0, 0, 0, 9, 0, 0, 0, 0}), y = floats({1, 2, 2, 1}), dx = floats({1, 3, 3, 1});
  Buffer<uint8_t> index(device_, {1, 2, 2, 1});
  const Pool2dSpec spec{.window = 2, .stride = 1};
  backend_.run(op::MaxPool2d{x, spec, y, index});
  auto dy = floats({1, 2, 2, 1}, {1, 2, 4, 8});
  backend_.run(op::MaxPool2dBackward{dy, index, spec, dx});
  expect_same(dx.values(), {0, 0, 0, 0, 15, 0, 0, 0, 0});
}

TEST_P(EveryBackend, PoolsToOverlappingCells) {
  // 3 pixels to 2 cells: rows 0..2 and 1..3, so the middle one counts twice.
  auto x = floats({1, 1, 3, 2}, {1, -1, 5, -5, 3, -3}), mean = floats({1, 1, 2, 2}), most = floats({1, 1, 2, 2}), dx = floats({1, 1, 3, 2});
  Buffer<int64_t> index(device_, {1, 1, 2, 2});
  backend_.run(op::AdaptiveAvgPool2d{x, mean});
  expect_same(mean.values(), {3, -3, 4, -4});
  backend_.run(op::AdaptiveMaxPool2d{x, most, index});
  expect_same(most.values(), {5, -1, 5, -3});
  EXPECT_EQ(index.values(), (std::vector<int64_t>{1, 0, 1, 2}));
  auto dy = floats({1, 1, 2, 2}, {2, 4, 8, 16});
  backend_.run(op::AdaptiveAvgPool2dBackward{dy, dx});
  expect_same(dx.values(), {1, 2, 5, 10, 4, 8});
  backend_.run(op::AdaptiveMaxPool2dBackward{dy, index, dx});
  expect_same(dx.values(), {0, 4, 10, 0, 0, 16});
}

TEST_P(EveryBackend, PoolsTheFirstOfEqualsAndTheLastNaNAdaptively) {
  auto x = floats({2, 2, 2, 1}, {4, 4, 4, 4, 1, kNaN, 9, kNaN}), y = floats({2, 1, 1, 1});
  Buffer<int64_t> index(device_, {2, 1, 1, 1});
  backend_.run(op::AdaptiveMaxPool2d{x, y, index});
  expect_same(y.values(), {4, kNaN});
  EXPECT_EQ(index.values(), (std::vector<int64_t>{0, 3}));
}

TEST_P(EveryBackend, JoinsRowsAndSplitsThemAgain) {
  auto a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2, 1}, {5, 6}), y = floats({2, 3}), first = floats({2, 2}), second = floats({2, 1});
  backend_.run(op::Concat{a, b, y});
  expect_same(y.values(), {1, 2, 5, 3, 4, 6});
  backend_.run(op::Split{y, first, View()});
  backend_.run(op::Split{y, View(), second});
  expect_same(first.values(), a.values());
  expect_same(second.values(), b.values());
}

TEST_P(EveryBackend, TakesTheSoftmaxOfLargeNumbersWithoutOverflow) {
  auto x = floats({3, 2}, {1000, 1000, -1000, 0, 88, -kInfinity}), y = floats({3, 2});
  backend_.run(op::Softmax{x, y});
  expect_same(y.values(), {0.5f, 0.5f, 0, 1, 1, 0});
}

TEST_P(EveryBackend, GivesTheLossAndItsGradientInOnePass) {
  auto logits = floats({2, 2}, {1000, 1000, 0, 1000}), losses = floats({2}), dlogits = floats({2, 2});
  Buffer<int64_t> targets(device_, {2}, {1, 0});
  backend_.run(op::CrossEntropy{logits, targets, losses, dlogits});
  expect_same(losses.values(), {std::log(2.0f), 1000});
  expect_same(dlogits.values(), {0.25f, -0.25f, -0.5f, 0.5f});
  auto again = floats({2});
  backend_.run(op::CrossEntropy{logits, targets, again, View()});
  expect_same(again.values(), losses.values());
}

TEST_P(EveryBackend, StepsAsAdamWithDecoupledDecayDoes) {
  const double p = 0.5, g = -0.2, m = 0.1, v = 0.03, rate = 1e-2, decay = 0.1;
  const AdamSpec spec{.beta1 = 0.95, .beta2 = 0.99, .eps = 1e-5};
  auto parameter = floats({1}, {0.5f}), gradient = floats({1}, {-0.2f}), first = floats({1}, {0.1f}), second = floats({1}, {0.03f});
  Buffer<int64_t> steps(device_, {1}, {3});
  const AdamTensor tensor{parameter, gradient, first, second, rate, decay, steps};
  backend_.run(op::Adam{std::span(&tensor, 1), spec, {}});
  EXPECT_EQ(steps.values(), std::vector<int64_t>{4});
  const double m1 = 0.95 * m + 0.05 * g, v1 = 0.99 * v + 0.01 * g * g;
  const double step = rate / (1 - std::pow(0.95, 4)) * m1 / (std::sqrt(v1 / (1 - std::pow(0.99, 4))) + 1e-5);
  EXPECT_NEAR(first.values()[0], m1, 1e-8);
  EXPECT_NEAR(second.values()[0], v1, 3e-9);
  EXPECT_NEAR(parameter.values()[0], p * (1 - rate * decay) - step, 6e-8);
}

TEST_P(EveryBackend, StepsTensorsOfAnySizeEachWithItsOwnRate) {
  std::vector<AdamTensor> tensors;
  std::vector<std::unique_ptr<Buffer<float>>> keep;
  const auto make = [&](int64_t n, float value) {
    keep.push_back(std::make_unique<Buffer<float>>(device_, Shape{n}, Floats(static_cast<size_t>(n), value)));
    return keep.back().get();
  };
  const std::vector<int64_t> sizes{1, 0, 33, 1000};
  Buffer<int64_t> steps(device_, {4}, {0, 0, 0, 0});
  const View all = steps;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t n = sizes[i];
    // The first step from m = v = 0 moves each parameter by the rate, nearly, whatever the gradient's size.
    tensors.push_back({*make(n, 1), *make(n, 0.25f), *make(n, 0), *make(n, 0), 0.01 * static_cast<double>(i + 1), 0,
                       View{static_cast<int64_t*>(all.address) + i, {1}, DType::i64, true}});
  }
  backend_.run(op::Adam{tensors, {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8}, {}});
  for (size_t i = 0; i < sizes.size(); ++i)
    for (const float value : keep[4 * i]->values()) EXPECT_NEAR(value, 1 - 0.01 * static_cast<double>(i + 1), 2e-7);
}

TEST_P(EveryBackend, DividesGradientsByTheScaleAndWritesAHalfCopyBesideTheParameter) {
  auto scaled = floats({2}, {-0.2f * 1024, 3.0f * 1024}), plain = floats({2}, {-0.2f, 3}), state = floats({4}, {1024, 1.0f / 1024, 0, 7});
  auto p = floats({2}, {0.5f, -1}), q = floats({2}, {0.5f, -1});
  auto m = floats({2}, {0, 0}), v = floats({2}, {0, 0}), n = floats({2}, {0, 0}), w = floats({2}, {0, 0});
  Buffer<int64_t> steps(device_, {1}, {0}), counts(device_, {1}, {0});
  Buffer<Half> copy(device_, {2});
  const AdamTensor one{p, scaled, m, v, 0.01, 0.1, steps, copy}, other{q, plain, n, w, 0.01, 0.1, counts};
  backend_.run(op::Adam{std::span(&one, 1), {}, state});
  backend_.run(op::Adam{std::span(&other, 1), {}, {}});
  expect_same(p.values(), q.values());
  expect_same(m.values(), n.values());
  expect_same(v.values(), w.values());
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(copy.values()[i].bits, Half(p.values()[i]).bits);
}

TEST_P(EveryBackend, TakesGradientsInHalvesAsIfTheyHadBeenWidened) {
  auto wide = floats({3}, {-0.125f, 3, 0x1p-24f}), p = floats({3}, {0.5f, -1, 2}), q = floats({3}, {0.5f, -1, 2});
  auto m = floats({3}, {0, 0, 0}), v = floats({3}, {0, 0, 0}), n = floats({3}, {0, 0, 0}), w = floats({3}, {0, 0, 0});
  Buffer<int64_t> steps(device_, {1}, {0}), counts(device_, {1}, {0});
  Buffer<Half> halves(device_, {3}, {Half(-0.125f), Half(3.0f), Half(0x1p-24f)});
  const AdamTensor one{p, halves, m, v, 0.01, 0.1, steps}, other{q, wide, n, w, 0.01, 0.1, counts};
  backend_.run(op::Adam{std::span(&one, 1), {}, {}});
  backend_.run(op::Adam{std::span(&other, 1), {}, {}});
  expect_same(p.values(), q.values());
  expect_same(m.values(), n.values());
  expect_same(v.values(), w.values());
}

TEST_P(EveryBackend, WritesNothingInAStepThatOverflowed) {
  auto g = floats({2}, {1, 2}), state = floats({4}, {8, 0.125f, 1, 0}), p = floats({2}, {0.5f, -1}), m = floats({2}, {3, 4}),
       v = floats({2}, {5, 6});
  Buffer<int64_t> steps(device_, {1}, {9});
  Buffer<Half> copy(device_, {2}, {Half(7.0f), Half(8.0f)});
  const AdamTensor tensor{p, g, m, v, 0.01, 0.1, steps, copy};
  backend_.run(op::Adam{std::span(&tensor, 1), {}, state});
  expect_same(p.values(), {0.5f, -1});
  expect_same(m.values(), {3, 4});
  expect_same(v.values(), {5, 6});
  EXPECT_EQ(steps.values(), std::vector<int64_t>{9});
  EXPECT_EQ(copy.values()[0].bits, Half(7.0f).bits);
}

TEST_P(EveryBackend, FindsWhatIsNotFiniteWhereverItStands) {
  auto state = floats({4}, {8, 0.125f, 1, 3});
  auto first = floats({3}, {1, -3e38f, 0});
  for (const size_t n : {size_t{1}, size_t{33}, size_t{70001}})
    for (const size_t at : {size_t{0}, n / 2, n - 1})
      for (const float bad : {kNaN, kInfinity, -kInfinity, 3e38f, -1e-40f}) {
        Floats values(n, 3e38f);  // each is finite, but their sum would overflow
        values[at] = bad;
        auto second = floats({static_cast<int64_t>(n)}, values), empty = floats({0}, {});
        const std::vector<ConstView> gradients{first, empty, second};
        backend_.run(op::CheckFinite{gradients, state});
        expect_same(state.values(), {8, 0.125f, std::isfinite(bad) ? 0.0f : 1.0f, 3});
      }
}

TEST_P(EveryBackend, MovesTheScaleByTheRule) {
  const ScalerSpec spec{.interval = 3};
  auto state = floats({4}, {1024, 1.0f / 1024, 0, 1});
  backend_.run(op::UpdateScale{state, spec});
  expect_same(state.values(), {1024, 1.0f / 1024, 0, 2});
  backend_.run(op::UpdateScale{state, spec});
  expect_same(state.values(), {2048, 1.0f / 2048, 0, 0});
  auto overflow = floats({4}, {1024, 1.0f / 1024, 1, 2});
  backend_.run(op::UpdateScale{overflow, spec});
  expect_same(overflow.values(), {512, 1.0f / 512, 1, 0});
  auto largest = floats({4}, {0x1p127f, 0x1p-127f, 0, 2}), smallest = floats({4}, {0x1p-126f, 0x1p126f, 1, 2});
  backend_.run(op::UpdateScale{largest, spec});
  backend_.run(op::UpdateScale{smallest, spec});
  EXPECT_EQ(largest.values()[0], 0x1p127f);
  EXPECT_EQ(smallest.values()[0], 0x1p-126f);
}

TEST_P(EveryBackend, WeighsActivationsByTheirMeanGradient) {
  auto activation = floats({1, 1, 2, 2}, {1, 10, 2, 20}), gradient = floats({1, 1, 2, 2}, {1, -1, 3, 0});
  auto weights = floats({1, 2}), map = floats({1, 1, 2});
  backend_.run(op::GradCam{activation, gradient, weights, map});
  expect_same(weights.values(), {2, -0.5f});
  expect_same(map.values(), {-3, -6});
}

TEST_P(EveryBackend, MovesRunningStatisticsTowardsTheUnbiasedVariance) {
  auto x = floats({4, 1}, {1, 2, 3, 6}), mean = floats({1}), inv_std = floats({1}), running_mean = floats({1}, {1}),
       running_var = floats({1}, {2});
  op::BatchNormStatistics call{.x = x, .eps = 0.5, .momentum = 0.25, .mean = mean, .inv_std = inv_std};
  backend_.run(call);
  EXPECT_FLOAT_EQ(mean.values()[0], 3);
  EXPECT_FLOAT_EQ(inv_std.values()[0], 0.5f) << "1 / sqrt(3.5 + 0.5), the biased variance";
  call.running_mean = running_mean;
  call.running_var = running_var;
  backend_.run(call);
  EXPECT_FLOAT_EQ(running_mean.values()[0], 1.5f);
  EXPECT_FLOAT_EQ(running_var.values()[0], 2 * 0.75f + 0.25f * 14 / 3);
}

TEST_P(EveryBackend, ConvolvesAPictureByHand) {
  // 2x2 picture, one channel, 2x2 window over padding 1, stride 2, so each output reads one corner through one tap.
  auto x = floats({1, 2, 2, 1}, {1, 2, 3, 4}), w = floats({1, 2, 2, 1}, {10, 20, 30, 40}), bias = floats({1}, {1000}),
       y = floats({1, 2, 2, 1});
  const Conv2dSpec spec{.stride = 2, .padding = 1};
  backend_.run(op::Conv2d{x, w, bias, spec, y});
  expect_same(y.values(), {1040, 1060, 1060, 1040});
  auto dy = floats({1, 2, 2, 1}, {1, 10, 100, 1000}), dx = floats({1, 2, 2, 1}), dw = floats({1, 2, 2, 1});
  backend_.run(op::Conv2dBackwardData{dy, w, spec, dx});
  expect_same(dx.values(), {40, 300, 2000, 10000});
  backend_.run(op::Conv2dBackwardWeight{x, dy, spec, dw});
  expect_same(dw.values(), {4000, 300, 20, 1});
}

TEST_P(EveryBackend, MultipliesMatricesTransposedOrNot) {
  // [1 2 3; 4 5 6] [1 0; 0 1; 2 2] = [7 8; 16 17]
  auto a = floats({2, 3}, {1, 2, 3, 4, 5, 6}), at = floats({3, 2}, {1, 4, 2, 5, 3, 6});
  auto b = floats({3, 2}, {1, 0, 0, 1, 2, 2}), bt = floats({2, 3}, {1, 0, 2, 0, 1, 2});
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      auto y = floats({2, 2});
      backend_.run(op::Matmul{transpose_a ? at : a, transpose_b ? bt : b, {transpose_a, transpose_b}, y});
      expect_same(y.values(), {7, 8, 16, 17});
    }
}

TEST_P(EveryBackend, TakesTensorsWithoutElements) {
  auto none = floats({0, 3}), also = floats({0, 3}), out = floats({0, 3}), total = floats({}), columns = floats({3});
  backend_.run(op::Add{none, also, out});
  backend_.run(op::Relu{none, out});
  backend_.run(op::Sum{none, total});
  backend_.run(op::SumRows{none, columns});
  expect_same(total.values(), {0});
  expect_same(columns.values(), {0, 0, 0});
  auto w = floats({2, 3}, Floats(6, 1.0f)), product = floats({0, 2}), dw = floats({2, 3});
  backend_.run(op::Matmul{none, w, {.transpose_b = true}, product});
  auto dy = floats({0, 2});
  backend_.run(op::Matmul{dy, none, {.transpose_a = true}, dw});
  expect_same(dw.values(), Floats(6, 0.0f));
}

INSTANTIATE_TEST_SUITE_P(Here, EveryBackend, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

}  // namespace
}  // namespace mirilla
