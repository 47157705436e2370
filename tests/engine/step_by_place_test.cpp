// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "engine/ops/dropout.h"
#include "engine/ops/reductions.h"
#include "engine/tape.h"
#include "kernels/core/philox.h"
#include "kernels/devices.h"

// Step values given by address (rates, step number) against the same by value: the same bits, read when the step runs.
namespace mirilla {
namespace {

class ByPlace : public ::testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());

  Tensor number(double value) const { return from_host(std::vector<double>{value}, {1}, device_); }
  Tensor count(int64_t value) const { return from_host(std::vector<int64_t>{value}, {1}, device_); }
  Tensor noise(int64_t n, uint32_t item) const {
    const RandomKey key{.seed = 7, .item = item};
    std::vector<float> values(static_cast<size_t>(n));
    for (size_t i = 0; i < values.size(); ++i) values[i] = to_unit(key.bits(static_cast<uint32_t>(i))) - 0.5f;
    return from_host(values, {n}, device_);
  }
};
INSTANTIATE_TEST_SUITE_P(Here, ByPlace, ::testing::ValuesIn(device_names()), [](const auto& tested) { return tested.param; });

struct Optimized {
  Tensor p, m, v, step, g;

  std::vector<std::vector<float>> values() const { return {p.to_vector<float>(), m.to_vector<float>(), v.to_vector<float>()}; }
};

TEST_P(ByPlace, AdamTakesItsRatesToTheSameBits) {
  const auto fresh = [&] {
    return Optimized{noise(5000, 1), noise(5000, 2), zeros({5000}, DType::f32, device_), count(3), noise(5000, 3)};
  };
  Optimized by_value = fresh(), by_place = fresh();
  Tensor rate = number(0), momentum = number(0);
  for (const auto& [lr, beta1] : std::vector<std::pair<double, double>>{{1e-3, 0.95}, {3.3e-2, 0.85}, {1e-9, 0.9}}) {
    device_.backend().run(op::Adam{std::vector<AdamTensor>{{.parameter = by_value.p,
                                                            .gradient = by_value.g,
                                                            .m = by_value.m,
                                                            .v = by_value.v,
                                                            .learning_rate = lr,
                                                            .weight_decay = 0.01,
                                                            .step = by_value.step}},
                                   {.beta1 = beta1},
                                   {}});
    rate.copy_from(number(lr));
    momentum.copy_from(number(beta1));
    const ConstView at = rate, momentum_at = momentum;
    device_.backend().run(op::Adam{std::vector<AdamTensor>{{.parameter = by_place.p,
                                                            .gradient = by_place.g,
                                                            .m = by_place.m,
                                                            .v = by_place.v,
                                                            .learning_rate = 77,  // must not be used
                                                            .weight_decay = 0.01,
                                                            .step = by_place.step,
                                                            .rate = at}},
                                   {.beta1 = 0.1, .momentum = momentum_at},
                                   {}});
    EXPECT_EQ(by_place.values(), by_value.values()) << lr;
  }
}

TEST_P(ByPlace, DropoutTakesTheNumberOfItsStepThereAndBack) {
  const Tensor ones = full({4099}, 1, DType::f32, device_);
  const auto spec = [](uint32_t step) { return DropoutSpec{.p = 0.5, .key = {.seed = 9, .purpose = Purpose::kDropout, .step = step}}; };
  Tensor place = count(0);
  for (const int64_t step : {1, 2, 300000}) {
    place.copy_from(count(step));
    Tensor x = ones.clone();
    x.set_requires_grad();
    const Tensor y = dropout(x, spec(77), place);
    EXPECT_EQ(y.to_vector<float>(), dropout(ones, spec(static_cast<uint32_t>(step))).to_vector<float>()) << step;
    tape::backward(sum(y));
    EXPECT_EQ(x.grad().to_vector<float>(), y.to_vector<float>()) << step;
  }
}

TEST_P(ByPlace, BackwardRefusesAStepNumberThatWasWrittenOver) {
  Tensor x = full({8}, 1, DType::f32, device_), place = count(1);
  x.set_requires_grad();
  const Tensor loss = sum(dropout(x, {}, place));
  place.copy_from(count(2));
  EXPECT_THROW(tape::backward(loss), Error);
}

}  // namespace
}  // namespace mirilla
