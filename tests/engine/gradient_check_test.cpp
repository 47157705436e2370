// SPDX-License-Identifier: MIT
#include "engine/gradient_check.h"

#include <gtest/gtest.h>

#include "engine/ops/add.h"
#include "engine/tape.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"

namespace mirilla {
namespace {

Tensor f64(std::vector<double> values) {
  const auto n = static_cast<int64_t>(values.size());
  return from_host(values, {n}, open_device("reference"));
}

// x^2, with a backward that says `factor` x dy: right for 2.
Tensor square(const Tensor& x, double factor) {
  Tensor y = empty_like(x);
  x.backend().run(op::Multiply{x, x, y});
  return tape::record("square", {x}, y, [saved = tape::save(x), factor](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().run(op::Multiply{dy, saved.get(), dx});
    dy.backend().run(op::Scale{dx, factor, dx});
    return tape::Gradients{dx};
  });
}

TEST(GradientCheck, AgreesWithARightBackward) {
  const std::vector<Tensor> inputs{f64({1, -2, 0.5}), f64({3, 4, 5})};
  const GradientCheck check = check_gradient([](std::span<const Tensor> in) { return add(square(in[0], 2), in[1]); }, inputs);
  EXPECT_TRUE(check.good) << check.text;
  EXPECT_LT(check.error, 1e-9);
}

TEST(GradientCheck, NamesTheElementWhereABackwardIsWrong) {
  const std::vector<Tensor> inputs{f64({3, 4, 5}), f64({1, -20, 0.5})};
  const GradientCheck check = check_gradient([](std::span<const Tensor> in) { return add(in[0], square(in[1], 2.001)); }, inputs);
  EXPECT_FALSE(check.good);
  EXPECT_EQ(check.input, 1u);
  EXPECT_NE(check.text.find("input 1, element"), std::string::npos) << check.text;
  EXPECT_NEAR(check.recorded / check.numeric, 2.001 / 2, 1e-6);
}

TEST(GradientCheck, SaysWhereNoGradientCameBack) {
  const std::vector<Tensor> inputs{f64({1, 2}), f64({3, 4})};
  const GradientCheck check = check_gradient([](std::span<const Tensor> in) { return add(in[0], in[1].detach()); }, inputs);
  EXPECT_FALSE(check.good);
  EXPECT_EQ(check.text, "no gradient came back to input 1");
}

TEST(GradientCheck, WantsDoubles) {
  const std::vector<Tensor> inputs{zeros({2}, DType::f32, open_device("cpu"))};
  EXPECT_THROW(check_gradient([](std::span<const Tensor> in) { return square(in[0], 2); }, inputs), Error);
}

}  // namespace
}  // namespace mirilla
