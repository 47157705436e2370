// SPDX-License-Identifier: MIT
#include "nn/train/adam.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "weights/safetensors.h"

namespace mirilla::nn {
namespace {

struct Case {
  const char* device;
  DType dtype;
  double tolerance;
};

class AdamOn : public testing::TestWithParam<Case> {
 protected:
  Tensor parameter(const std::vector<double>& values, const Shape& shape) {
    Tensor tensor = like(values, shape);
    tensor.set_requires_grad();
    return tensor;
  }
  Tensor like(const std::vector<double>& values, const Shape& shape) {
    Device& device = open_device(GetParam().device);
    if (GetParam().dtype == DType::f64) return from_host(values, shape, device);
    return from_host(std::vector<float>(values.begin(), values.end()), shape, device);
  }
  void expect(const Tensor& tensor, const std::vector<double>& wanted) {
    const std::vector<double> came = tensor.to_doubles();
    ASSERT_EQ(came.size(), wanted.size());
    for (size_t i = 0; i < came.size(); ++i) EXPECT_NEAR(came[i], wanted[i], GetParam().tolerance * (1 + std::abs(wanted[i]))) << i;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, AdamOn,
                         testing::Values(Case{"reference", DType::f64, 1e-14}, Case{"reference", DType::f32, 2e-7},
                                         Case{"cpu", DType::f32, 2e-7}),
                         [](const auto& tested) {
                           return std::string(tested.param.device) + "_" + std::string(name_of(tested.param.dtype));
                         });

TEST_P(AdamOn, TakesTheStepThatWasWorkedOutByHand) {
  Tensor p = parameter({1}, {1, 1});
  p.set_grad(like({0.5}, {1, 1}));
  Adam adam({{{"p", p}}});
  adam.step({.lr = {0.1}, .momentum = 0.9});
  // decay: 1 (1 - .1 .01) = .999;  m = .05, over 1 - .9: .5;  v = .0025, over 1 - .99: .25, root .5;  .999 - .1 .5 / .50001
  expect(p, {0.999 - 0.05 / 0.50001});
  expect(adam.state()[0].m, {0.05});
  expect(adam.state()[0].v, {0.0025});
}

TEST_P(AdamOn, FollowsTheFormulaOverManyStepsOfAChangingSchedule) {
  const Shape shape{2, 3};
  std::vector<double> p{0.3, -0.7, 1.5, 0, -2, 0.01}, m(6, 0.0), v(6, 0.0);
  Tensor tensor = parameter(p, shape);
  if (GetParam().dtype == DType::f32)
    for (double& value : p) value = static_cast<float>(value);
  Adam adam({{{"p", tensor}}});
  for (int t = 1; t <= 20; ++t) {
    const double lr = 1e-2 / t, b = 0.95 - 0.005 * t;
    std::vector<double> g(6);
    for (size_t i = 0; i < 6; ++i) {
      g[i] = static_cast<float>(std::sin(static_cast<double>(t) * static_cast<double>(i + 1)));
      p[i] *= 1 - lr * 0.01;
      m[i] = b * m[i] + (1 - b) * g[i];
      v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
      p[i] -= lr / (1 - std::pow(b, t)) * m[i] / (std::sqrt(v[i] / (1 - std::pow(0.99, t))) + 1e-5);
    }
    tensor.set_grad(like(g, shape));
    adam.step({.lr = {lr}, .momentum = b});
  }
  const std::vector<double> came = tensor.to_doubles();
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(came[i], p[i], 20 * GetParam().tolerance * (1 + std::abs(p[i]))) << i;
}

// fastai's Adam on 20 random gradients under a moving rate and momentum; a decayed parameter has two dimensions here, another has one.
TEST_P(AdamOn, FollowsFastaisOwnTrajectory) {
  const weights::StateDict oracle = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/ops/adam.safetensors");
  for (const std::string name : {"case0", "case1"}) {
    const auto values = [&](const char* what) { return oracle.at(name + "." + what).values<double>(); };
    const auto attributes = nlohmann::json::parse(oracle.metadata.at(name));
    const auto first = values("p"), gradients = values("gradients"), parameters = values("parameters");
    const size_t n = first.size(), steps = values("learning_rates").size();
    const double decay = attributes["weight_decay"];
    const Shape shape = decay > 0 ? Shape{1, static_cast<int64_t>(n)} : Shape{static_cast<int64_t>(n)};
    Tensor p = parameter({first.begin(), first.end()}, shape);
    Adam adam({{{"p", p}}}, {.beta2 = attributes["beta2"], .eps = attributes["eps"]});
    for (size_t step = 0; step < steps; ++step) {
      const auto now = [&](std::span<const double> rows) {
        return std::vector<double>(rows.begin() + step * n, rows.begin() + (step + 1) * n);
      };
      p.set_grad(like(now(gradients), shape));
      adam.step({.lr = {values("learning_rates")[step]}, .momentum = values("momenta")[step]});
      const std::vector<double> came = p.to_doubles(), wanted = now(parameters);
      for (size_t i = 0; i < n; ++i)
        EXPECT_NEAR(came[i], wanted[i], static_cast<double>(step + 1) * GetParam().tolerance * (1 + std::abs(wanted[i])))
            << step << " " << i;
    }
    const auto m = values("m"), v = values("v");
    expect(adam.state()[0].m, {m.begin(), m.end()});
    expect(adam.state()[0].v, {v.begin(), v.end()});
  }
}

TEST_P(AdamOn, DoesNotDecayTensorsOfOneDimension) {
  Tensor matrix = parameter({2, 2}, {1, 2}), vector = parameter({2, 2}, {2});
  matrix.set_grad(like({0, 0}, {1, 2}));
  vector.set_grad(like({0, 0}, {2}));
  Adam adam({{{"matrix", matrix}, {"vector", vector}}});
  adam.step({.lr = {0.5}, .momentum = 0.9});
  expect(matrix, {2 * (1 - 0.5 * 0.01), 2 * (1 - 0.5 * 0.01)});
  expect(vector, {2, 2});
}

TEST_P(AdamOn, GivesEachGroupItsRate) {
  Tensor slow = parameter({0}, {1}), fast = parameter({0}, {1});
  slow.set_grad(like({1}, {1}));
  fast.set_grad(like({1}, {1}));
  Adam adam({{{"slow", slow}}, {{"fast", fast}}});
  adam.step({.lr = {0.01, 0.1}, .momentum = 0.9});
  expect(slow, {-0.01 / 1.00001});
  expect(fast, {-0.1 / 1.00001});
}

TEST_P(AdamOn, SkipsAParameterWithoutAGradientAsAWhole) {
  Tensor still = parameter({3}, {1, 1}), moving = parameter({3}, {1, 1});
  Adam adam({{{"still", still}, {"moving", moving}}});
  for (int t = 0; t < 3; ++t) {
    moving.set_grad(like({1}, {1, 1}));
    adam.step({.lr = {0.1}, .momentum = 0.9});
  }
  EXPECT_EQ(still.to_doubles(), std::vector<double>{3});
  EXPECT_EQ(adam.state()[0].steps(), 0);
  EXPECT_FALSE(adam.state()[0].m);
  EXPECT_EQ(adam.state()[1].steps(), 3);
  // and counts its own steps from 1 once a gradient comes
  still.set_grad(like({1}, {1, 1}));
  adam.zero_grad();
  still.set_grad(like({1}, {1, 1}));
  adam.step({.lr = {0.1}, .momentum = 0.9});
  EXPECT_EQ(adam.state()[0].steps(), 1);
  EXPECT_EQ(adam.state()[1].steps(), 3);
  expect(still, {3 * 0.999 - 0.1 / 1.00001});
}

TEST_P(AdamOn, StartsAnewWhenItsStateIsCleared) {
  Tensor p = parameter({1}, {1, 1}), fresh = parameter({1}, {1, 1});
  Adam adam({{{"p", p}}}), other({{{"p", fresh}}});
  p.set_grad(like({5}, {1, 1}));
  adam.step({.lr = {0.1}, .momentum = 0.9});
  adam.clear();
  EXPECT_EQ(adam.state()[0].steps(), 0);
  p.fill(1);
  p.set_grad(like({-0.25}, {1, 1}));
  fresh.set_grad(like({-0.25}, {1, 1}));
  adam.step({.lr = {0.1}, .momentum = 0.8});
  other.step({.lr = {0.1}, .momentum = 0.8});
  EXPECT_EQ(p.to_doubles(), fresh.to_doubles());
}

TEST_P(AdamOn, GoesOnFromARestoredStateAsIfNothingHappened) {
  Tensor p = parameter({1, 2}, {1, 2}), q = parameter({1, 2}, {1, 2});
  Adam adam({{{"p", p}}});
  for (int t = 0; t < 3; ++t) {
    p.set_grad(like({0.3, -0.2 * t}, {1, 2}));
    adam.step({.lr = {0.1}, .momentum = 0.9});
  }
  Adam restored({{{"p", q}}});
  q.copy_from(p);
  restored.set_state(adam.state());
  for (Tensor* tensor : {&p, &q}) tensor->set_grad(like({1, 2}, {1, 2}));
  adam.step({.lr = {0.1}, .momentum = 0.9});
  restored.step({.lr = {0.1}, .momentum = 0.9});
  EXPECT_EQ(p.to_doubles(), q.to_doubles());
  EXPECT_EQ(restored.state()[0].steps(), 4);
}

TEST_P(AdamOn, RefusesAStateOfOtherParameters) {
  Tensor p = parameter({1, 2}, {1, 2}), q = parameter({1, 2, 3}, {1, 3});
  Adam adam({{{"p", p}}}), other({{{"p", q}}}), renamed({{{"q", p}}});
  p.set_grad(like({1, 1}, {1, 2}));
  adam.step({.lr = {0.1}, .momentum = 0.9});
  EXPECT_THROW(other.set_state(adam.state()), WeightsError);
  EXPECT_THROW(renamed.set_state(adam.state()), WeightsError);
  EXPECT_THROW(adam.set_state({}), WeightsError);
}

TEST_P(AdamOn, NeedsOneRatePerGroup) {
  Tensor p = parameter({1}, {1});
  Adam adam({{{"p", p}}});
  EXPECT_THROW(adam.step({.lr = {0.1, 0.1}, .momentum = 0.9}), Error);
}

}  // namespace
}  // namespace mirilla::nn
