// SPDX-License-Identifier: MIT
#include "engine/amp/grad_scaler.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/ops/add.h"
#include "engine/ops/cast.h"
#include "engine/ops/linear.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"
#include "tests/engine/scale.h"

namespace mirilla {
namespace {

class Scaler : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor random(const Shape& shape, uint32_t item) { return tensor_of(draw(shape.numel(), -1, 1, item), shape, DType::f32, device_); }

  /// A scaler whose scale is `scale`.
  amp::GradScaler scaler_of(double scale) { return amp::GradScaler(device_, {.initial = scale}); }

  Device& device_ = open_device(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Here, Scaler, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

// torch.amp.GradScaler(init_scale=65536, growth_interval=2) by its documented rule: doubled after two steps in a row without an overflow,
// halved at each overflow, which also restarts the count.
struct Step {
  bool overflow;
  double scale_after;
};
constexpr Step kSteps[] = {{false, 65536},  {false, 131072}, {false, 131072}, {true, 65536},  {false, 65536},
                           {false, 131072}, {true, 65536},   {true, 32768},   {false, 32768}, {false, 65536}};

TEST_P(Scaler, FollowsPyTorchsSequenceAndLeavesOutTheStepsThatOverflowed) {
  amp::GradScaler scaler(device_, {.spec = {.interval = 2}});
  EXPECT_EQ(scaler.scale(), 65536);
  Tensor p = full({3}, 1, DType::f32, device_), m = zeros({3}, DType::f32, device_), v = zeros({3}, DType::f32, device_),
         count = zeros({1}, DType::i64, device_);
  float plain[kScalerState] = {65536, 1.0f / 65536, 0, 0};
  int64_t taken = 0;
  for (const Step& step : kSteps) {
    const Tensor gradient = full({3}, step.overflow ? std::numeric_limits<double>::infinity() : scaler.scale(), DType::f32, device_);
    const std::vector<double> before = p.to_doubles();
    const AdamTensor tensor{p, gradient, m, v, 0.01, 0.1, count};
    scaler.step(std::span(&tensor, 1), {});
    plain[2] = step.overflow ? 1 : 0;
    step_scaler(plain, {.interval = 2});
    EXPECT_EQ(scaler.scale(), step.scale_after);
    EXPECT_EQ(scaler.overflowed(), step.overflow);
    EXPECT_EQ(scaler.state().to_vector<float>(), std::vector<float>(plain, plain + kScalerState)) << "the rule in plain arithmetic";
    EXPECT_EQ(p.to_doubles() == before, step.overflow);
    EXPECT_EQ(count.to_vector<int64_t>()[0], taken += !step.overflow);
  }
}

TEST_P(Scaler, GivesGradientsAsIfThereWereNoScale) {
  Tensor w = random({4, 3}, 1).set_requires_grad();
  const Tensor x = random({5, 3}, 2);
  const auto loss = [&] { return mean(relu(linear(x, w, {}))); };
  tape::backward(loss());
  const std::vector<double> want = w.grad().to_doubles();
  w.clear_grad();
  const amp::GradScaler scaler = scaler_of(1024);
  tape::backward(loss(), {.factor = scaler.factor()});
  EXPECT_EQ(w.grad().to_doubles(), want) << "a power of two is exact";
  EXPECT_TRUE(w.grad().is_same_view(w.grad())) << "divided once";
  const std::vector<double> scaled = amp::gradient_under(w, scaler.state()).to_doubles();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(scaled[i], 1024 * want[i]);
}

TEST_P(Scaler, AddsUpGradientsOfDifferentScales) {
  Tensor w = random({4, 3}, 1).set_requires_grad();
  const Tensor x = random({5, 3}, 2);
  const auto backward = [&](const Tensor& state) { tape::backward(sum(linear(x, w, {})), {.factor = amp::factor_of(state)}); };
  backward({});
  std::vector<double> once = w.grad().to_doubles();
  const amp::GradScaler small = scaler_of(4), large = scaler_of(65536);
  const Tensor none;
  for (const std::vector<Tensor>& states :
       {std::vector<Tensor>{small.state(), small.state()}, {small.state(), large.state()}, {large.state(), none}, {none, small.state()}}) {
    w.clear_grad();
    for (const Tensor& state : states) backward(state);
    const std::vector<double> twice = w.grad().to_doubles(), under = amp::gradient_under(w, large.state()).to_doubles();
    for (size_t i = 0; i < once.size(); ++i) {
      EXPECT_EQ(twice[i], 2 * once[i]);
      EXPECT_EQ(under[i], 65536 * 2 * once[i]);
    }
  }
}

TEST_P(Scaler, ReadsAGradientUnderTheScaleOfTodayAlsoWhereItCameUnderAnother) {
  Tensor w = random({2, 2}, 1).set_requires_grad();
  amp::GradScaler scaler(device_, {.initial = 8, .spec = {.interval = 1}});
  tape::backward(sum(w), {.factor = scaler.factor()});
  scaler.step({}, {});
  ASSERT_EQ(scaler.scale(), 16);
  EXPECT_EQ(w.grad().to_doubles(), std::vector<double>(4, 1)) << "grad() divides by what it was";
  EXPECT_EQ(amp::gradient_under(w, scaler.state()).to_doubles(), std::vector<double>(4, 16));
  w.set_grad(full({2, 2}, 3, DType::f32, device_));
  EXPECT_EQ(w.grad().to_doubles(), std::vector<double>(4, 3)) << "a gradient that a person set has no scale";
  EXPECT_EQ(amp::gradient_under(w, scaler.state()).to_doubles(), std::vector<double>(4, 48));
  w.clear_grad();
  EXPECT_FALSE(w.grad());
  EXPECT_FALSE(amp::gradient_under(w, scaler.state()));
}

TEST_P(Scaler, GivesAWatchedHalfsGradientInF32BecauseAHalfMightNotHoldIt) {
  Tensor w = full({2}, 1, DType::f32, device_).set_requires_grad();
  Tensor half = cast(w, DType::f16);
  tape::keep_gradient(half);
  constexpr double kTiny = 0x1p-26;  // a quarter of f16's smallest
  tape::backward(sum(scale(cast(half, DType::f32), kTiny)), {.factor = scaler_of(65536).factor()});
  EXPECT_EQ(half.grad().dtype(), DType::f32);
  EXPECT_EQ(half.grad().to_doubles(), std::vector<double>(2, kTiny));
  EXPECT_EQ(w.grad().to_doubles(), std::vector<double>(2, kTiny)) << "what the scale is for";
}

TEST_P(Scaler, MultipliesASeedThatIsGiven) {
  Tensor w = random({3}, 1).set_requires_grad();
  tape::backward(relu(add(w, w)), {.seed = full({3}, 0.5, DType::f32, device_), .factor = scaler_of(256).factor()});
  const std::vector<double> values = w.to_doubles(), gradient = w.grad().to_doubles();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(gradient[i], values[i] > 0 ? 1.0 : 0.0);
}

TEST_P(Scaler, GoesOnFromAStateThatWasKept) {
  amp::GradScaler first(device_, {.initial = 4, .spec = {.interval = 2}}), second(device_, {.spec = {.interval = 2}});
  first.step({}, {});
  second.set_state(first.state());
  second.step({}, {});
  EXPECT_EQ(second.scale(), 8) << "the second good step in a row";
}

TEST_P(Scaler, RefusesWhatItCannotUndo) {
  for (const double bad : {0.0, -2.0, 3.0, 65535.0, 0x1p128, 0x1p-127, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_THROW(amp::GradScaler(device_, {.initial = bad}), Error) << bad;
  EXPECT_EQ(scaler_of(0x1p127).scale(), 0x1p127);
  Tensor w = random({1}, 1).set_requires_grad();
  EXPECT_THROW(tape::backward(sum(w), {.factor = amp::factor_of(full({1}, 1, DType::f32, device_))}), ShapeError);
  EXPECT_THROW(tape::backward(cast(w, DType::f16), {.factor = scaler_of(2).factor()}), ShapeError) << "the loss must be f32";
}

}  // namespace
}  // namespace mirilla
