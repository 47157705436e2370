// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <optional>

#include "engine/ops/batch_norm.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"

namespace mirilla {
namespace {

Tensor tensor(const std::vector<float>& values) { return from_host(values, {4, 1}, open_device("cpu")); }

// d (seed . f(x)) / dx at x = (-1, 2, -1, 2) for the seed (1, 1, -1, -1).
template <class F>
std::vector<float> gradient(F f, bool guided) {
  Tensor x = tensor({-1, 2, -1, 2});
  x.set_requires_grad();
  const Tensor y = f(x);
  std::optional<GuidedRelu> scope;
  if (guided) scope.emplace();
  tape::backward(y, {.seed = tensor({1, 1, -1, -1})});
  return x.grad().to_vector<float>();
}

TEST(GuidedRelu, PassesOnlyWhatIsPositiveBothWays) {
  const auto f = [](const Tensor& x) { return relu(x); };
  EXPECT_EQ(gradient(f, true), (std::vector<float>{0, 1, 0, 0}));
  EXPECT_EQ(gradient(f, false), (std::vector<float>{0, 1, 0, -1})) << "and is gone with its scope";
}

TEST(GuidedRelu, IsInTheFusedOperationTooAndOnItsShortcut) {
  Device& device = open_device("cpu");
  BatchNormState state{.weight = full({1}, 1, DType::f32, device),
                       .bias = zeros({1}, DType::f32, device),
                       .running_mean = zeros({1}, DType::f32, device),
                       .running_var = full({1}, 1, DType::f32, device),
                       .eps = 0};
  const auto through_norm = [&](const Tensor& x) { return batch_norm_add_relu(x, state, {}, false).y; };
  EXPECT_EQ(gradient(through_norm, true), (std::vector<float>{0, 1, 0, 0}));
  EXPECT_EQ(gradient(through_norm, false), (std::vector<float>{0, 1, 0, -1}));
  const auto past_norm = [&](const Tensor& x) { return batch_norm_add_relu(tensor({0, 0, 0, 0}), state, x, false).y; };
  EXPECT_EQ(gradient(past_norm, true), (std::vector<float>{0, 1, 0, 0}));
}

TEST(GuidedRelu, ScopesMayLieInEachOther) {
  const GuidedRelu outer;
  { const GuidedRelu inner; }
  EXPECT_EQ(gradient([](const Tensor& x) { return relu(x); }, false), (std::vector<float>{0, 1, 0, 0}));
}

}  // namespace
}  // namespace mirilla
