// SPDX-License-Identifier: MIT
#include "nn/train/sgd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/amp/autocast.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/run/replay_network.h"
#include "weights/safetensors.h"

namespace mirilla::nn {
namespace {

struct Where {
  std::string device;
  DType dtype;
};

class SgdOn : public testing::TestWithParam<Where> {
 protected:
  Tensor like(std::span<const double> values) {
    return from_doubles(values, {static_cast<int64_t>(values.size())}, GetParam().dtype, open_device(GetParam().device));
  }
  double tolerance() const { return GetParam().dtype == DType::f64 ? 1e-14 : 2e-7; }
};

std::vector<Where> everywhere() {
  std::vector<Where> all{{"reference", DType::f64}};
  for (const std::string& name : device_names()) all.push_back({name, DType::f32});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Here, SgdOn, testing::ValuesIn(everywhere()),
                         [](const auto& tested) { return tested.param.device + "_" + std::string(name_of(tested.param.dtype)); });

// tests/oracle/make_objectives.py: plain, with momentum, with decay, with Nesterov's momentum.
TEST_P(SgdOn, FollowsPyTorchsTrajectory) {
  const weights::StateDict oracle = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/objectives/sgd.safetensors");
  for (const std::string name : {"case0", "case1", "case2", "case3"}) {
    const auto values = [&](const char* what) { return oracle.at(name + "." + what).values<double>(); };
    const auto attributes = nlohmann::json::parse(oracle.metadata.at(name));
    const auto gradients = values("gradients"), parameters = values("parameters"), rates = values("learning_rates");
    Tensor p = like(values("p"));
    p.set_requires_grad();
    const auto n = static_cast<size_t>(p.numel());
    Sgd sgd({{{"p", p}}}, {.weight_decay = attributes["weight_decay"], .nesterov = attributes["nesterov"]});
    for (size_t step = 0; step < rates.size(); ++step) {
      p.set_grad(like(std::span(gradients).subspan(step * n, n)));
      sgd.step({.lr = {rates[step]}, .momentum = attributes["momentum"]});
      const std::vector<double> came = p.to_doubles();
      for (size_t i = 0; i < n; ++i) {
        const double wanted = parameters[step * n + i];
        ASSERT_NEAR(came[i], wanted, static_cast<double>(step + 1) * tolerance() * (1 + std::abs(wanted))) << name << " " << step;
      }
    }
    if (!oracle.contains(name + ".buffer")) continue;
    const std::vector<double> buffer = sgd.kept()[0].tensors.at(0).to_doubles();
    for (size_t i = 0; i < n; ++i)
      ASSERT_NEAR(buffer[i], values("buffer")[i], 12 * tolerance() * (1 + std::abs(values("buffer")[i]))) << name;
  }
}

TEST_P(SgdOn, TakesItsRatesByPlaceToTheSameBits) {
  Device& device = open_device(GetParam().device);
  Tensor a = like(std::vector<double>{0.5, -3, 7}), b = a.clone();
  a.set_requires_grad(), b.set_requires_grad();
  Sgd by_value({{{"p", a}}}, {.weight_decay = 0.1, .nesterov = true}), by_place({{{"p", b}}}, {.weight_decay = 0.1, .nesterov = true});
  for (const auto& [lr, momentum] : std::vector<std::pair<double, double>>{{1e-3, 0.95}, {3.3e-2, 0.85}, {0.1, 0.9}}) {
    for (Tensor* p : {&a, &b}) p->set_grad(like(std::vector<double>{1.1, lr, -momentum}));
    by_value.step({.lr = {lr}, .momentum = momentum});
    by_place.step(from_host(std::vector<double>{lr, momentum}, {2}, device));
    ASSERT_EQ(a.to_doubles(), b.to_doubles());
  }
}

TEST_P(SgdOn, SkipsAParameterWithoutAGradientWhole) {
  Tensor p = like(std::vector<double>{1, 2});
  p.set_requires_grad();
  Sgd sgd({{{"p", p}}}, {.weight_decay = 0.1});
  sgd.step({.lr = {0.5}, .momentum = 0.9});
  EXPECT_EQ(p.to_doubles(), (std::vector<double>{1, 2}));
  EXPECT_TRUE(sgd.kept()[0].tensors.empty());
  EXPECT_THROW(sgd.step({.lr = {0.5, 0.5}, .momentum = 0.9}), Error);
}

TEST_P(SgdOn, GoesOnFromAStateThatWasCopiedIn) {
  Tensor a = like(std::vector<double>{1, 2}), b;
  a.set_requires_grad();
  Sgd first({{{"p", a}}});
  a.set_grad(like(std::vector<double>{0.5, -0.5}));
  first.step({.lr = {0.1}, .momentum = 0.9});
  b = a.clone();
  b.set_requires_grad();
  b.set_grad(a.grad());
  Sgd second({{{"p", b}}}), other({{{"q", b}}});
  second.restore(first.kept());
  for (Sgd* sgd : {&first, &second}) sgd->step({.lr = {0.1}, .momentum = 0.9});
  EXPECT_EQ(a.to_doubles(), b.to_doubles());
  EXPECT_THROW(other.restore(first.kept()), WeightsError);
}

class SgdInHalf : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Here, SgdInHalf, testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

struct Small {
  explicit Small(Device& on)
      : weight(from_host(std::vector<float>{0.5f, -0.25f, 0.75f, 1, -1, 0.125f}, {2, 3}, on)),
        sgd({{{"weight", weight.set_requires_grad()}}}, {.weight_decay = 0.01, .nesterov = true}),
        scaler(on, {.initial = 1024}) {
    amp::half_copy(weight, DType::f16);
  }
  // As a backward under the scaler would leave it.
  void step(float first) {
    weight.clear_grad();
    const Tensor seed = from_host(std::vector<float>{first, 0.25f, -1, 2, 0.5f, 2}, {2, 3}, weight.device());
    tape::backward(tape::alias(weight), {.seed = seed, .factor = scaler.factor()});
    sgd.step({.lr = {0.1}, .momentum = 0.9}, &scaler);
  }
  std::vector<std::vector<double>> state() const {
    return {weight.to_doubles(), sgd.kept()[0].tensors.at(0).to_doubles(), amp::current_half_copy(weight).to_doubles()};
  }

  Tensor weight;
  Sgd sgd;
  amp::GradScaler scaler;
};

TEST_P(SgdInHalf, LeavesAStepThatOverflowedOutWhole) {
  Device& device = open_device(GetParam());
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Small tested(device), spared(device);
    tested.step(1), spared.step(1);
    const auto before = tested.state();
    tested.step(bad);
    EXPECT_TRUE(tested.scaler.overflowed());
    EXPECT_EQ(tested.scaler.scale(), 512);
    EXPECT_EQ(tested.state(), before);
    tested.step(-2), spared.step(-2);
    EXPECT_NE(tested.state(), before);
    EXPECT_EQ(tested.state(), spared.state()) << "another power of two, the same gradients";
  }
}

using replaying::small_network;

// A training under replay and one without it, both on the executor.
struct Training {
  Training(amp::Precision which, ReplayMode mode)
      : precision(which),
        model(small_network({open_device(kernel_device())})),
        sgd(model->parameter_groups(), {.weight_decay = 0.01}),
        scaler(open_device(kernel_device()), {.initial = 0x1p22}),
        step(*model, sgd, {.precision = which, .seed = 11, .replay = {.mode = mode}}) {
    model->train();
  }
  double take(uint32_t number) {
    Placement input{open_device(kernel_device())};
    if (precision != amp::Precision::fp32) input.dtype = amp::dtype_of(precision);
    const std::vector<int64_t> targets = replaying::labels(number, replaying::kBatch);
    return step({.input = replaying::pictures(number, replaying::kBatch, input),
                 .labels = targets,
                 .rates = {.lr = {0.01 + 0.002 * number}, .momentum = 0.95 - 0.01 * number},
                 .number = number,
                 .scaler = precision == amp::Precision::fp16 ? &scaler : nullptr})
        .item();
  }

  amp::Precision precision;
  std::unique_ptr<Sequential> model;
  Sgd sgd;
  amp::GradScaler scaler;
  TrainingStep step;
};

TEST(SgdReplayed, TakesItsStepsToTheBitAsEagerStepsDo) {
  for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::fp16}) {
    Training replayed(precision, ReplayMode::on), eager(precision, ReplayMode::off);
    for (uint32_t number = 0; number < 8; ++number) {
      ASSERT_EQ(replayed.take(number), eager.take(number)) << number;
      const auto a = replayed.model->parameters(), b = eager.model->parameters();
      for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i].tensor.to_doubles(), b[i].tensor.to_doubles()) << a[i].name << " " << number;
    }
    EXPECT_EQ(replayed.step.counts().replayed, 7);
  }
}

}  // namespace
}  // namespace mirilla::nn
