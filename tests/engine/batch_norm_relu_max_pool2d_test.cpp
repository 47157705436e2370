// SPDX-License-Identifier: MIT
// Norm, ReLU and max pool as one operation, against the three, to the bit, on every device.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/ops/batch_norm.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla::norm_pools {
namespace {

constexpr Pool2dSpec kStem{.window = 3, .stride = 2, .padding = 1};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

struct Normed {
  Tensor x;
  BatchNormState state;
  Tensor y;

  std::vector<std::vector<double>> everything() const {
    std::vector<std::vector<double>> all{y.to_doubles(), state.running_mean.to_doubles(), state.running_var.to_doubles()};
    for (const Tensor& input : {x, state.weight, state.bias})
      if (input.grad()) all.push_back(input.grad().to_doubles());
    return all;
  }
};

struct Wanted {
  bool x = true, weight = true, bias = true;
};

class NormReluPool : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor numbers(const Shape& shape, double low, double high, uint32_t item, DType dtype = DType::f32) {
    return tensor_of(draw(shape.numel(), low, high, item), shape, DType::f32, device_).to(dtype);
  }
  Normed start(const Tensor& x, const Wanted& wanted = {}) {
    const Shape channels{x.size(-1)};
    Normed run{
        x.clone(), {numbers(channels, -1, 1, 3), numbers(channels, -1, 1, 4), numbers(channels, -1, 1, 5), numbers(channels, 1, 2, 6)}, {}};
    run.x.set_requires_grad(wanted.x);
    run.state.weight.set_requires_grad(wanted.weight);
    run.state.bias.set_requires_grad(wanted.bias);
    return run;
  }
  // Both ways from the same numbers: y, the running statistics, the gradients that are wanted.
  void expect_same_bits(const Tensor& x, const Pool2dSpec& spec, bool training, const Wanted& wanted = {}, bool guided = false) {
    Normed one = start(x, wanted), three = start(x, wanted);
    one.y = batch_norm_relu_max_pool2d(one.x, one.state, spec, training);
    three.y = max_pool2d(batch_norm_add_relu(three.x, three.state, {}, training).y, spec);
    const Tensor seed = numbers(one.y.shape(), -2, 2, 9, x.dtype());
    std::optional<GuidedRelu> scope;
    if (guided) scope.emplace();
    for (Normed* normed : {&one, &three}) tape::backward(normed->y, {.seed = seed});
    const auto got = one.everything(), want = three.everything();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i)
      for (size_t k = 0; k < want[i].size(); ++k)
        ASSERT_TRUE(std::bit_cast<uint64_t>(got[i][k]) == std::bit_cast<uint64_t>(want[i][k]) ||
                    (std::isnan(got[i][k]) && std::isnan(want[i][k])))
            << "tensor " << i << ", element " << k << ": " << got[i][k] << ", not " << want[i][k];
  }

  Device& device_ = open_device(GetParam());
  const std::vector<Shape> shapes_{{2, 3, 5, 33}, {2, 8, 8, 64}, {1, 9, 12, 8}, {3, 1, 1, 16}, {2, 17, 4, 5}};

 private:
  Poison poison_;
};

TEST_P(NormReluPool, HasTheBitsOfTheThree) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const Shape& shape : shapes_)
      for (const bool training : {true, false}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + to_string(shape) + (training ? " training" : " evaluation"));
        expect_same_bits(numbers(shape, -2, 2, 1, dtype), kStem, training);
      }
}

TEST_P(NormReluPool, HasThemForEveryGradientThatIsWantedOrNot) {
  const Tensor x = numbers({2, 6, 7, 16}, -2, 2, 1, DType::f16);
  for (const Wanted& wanted :
       {Wanted{true, false, false}, Wanted{false, true, false}, Wanted{false, false, true}, Wanted{true, true, false}})
    for (const bool training : {true, false}) expect_same_bits(x, kStem, training, wanted);
}

TEST_P(NormReluPool, HasThemForAGuidedReluAndForOtherWindows) {
  const Tensor x = numbers({2, 9, 8, 16}, -2, 2, 1, DType::f16);
  expect_same_bits(x, kStem, true, {}, true);
  expect_same_bits(x, {.window = 3, .stride = 2, .padding = 0}, true);
  expect_same_bits(x, {.window = 2, .stride = 2}, true);
  expect_same_bits(x, {.window = 3, .stride = 1, .padding = 1}, true);
}

// In evaluation, so that one of them does not make its whole channel NaN; in training too, where it does.
TEST_P(NormReluPool, HasThemForSpecialValues) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const double special : {kNan, kInfinity, -kInfinity, 0.0, -0.0, 1e-7, -1e-7})
      for (const int64_t channels : {16, 3}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(special));
        const Shape shape{2, 9, 8, channels};
        std::vector<double> values = draw(shape.numel(), -2, 2, 1);
        for (size_t i = 0; i < values.size(); i += 7) values[i] = special;
        const Tensor x = tensor_of(values, shape, DType::f32, device_).to(dtype);
        for (const bool training : {true, false}) expect_same_bits(x, kStem, training);
      }
}

TEST_P(NormReluPool, KeepsNoPlacesWhereNothingIsRecorded) {
  const Tensor x = numbers({2, 8, 8, 16}, -2, 2, 1, DType::f16);
  Normed recorded = start(x), plain = start(x);
  recorded.y = batch_norm_relu_max_pool2d(recorded.x, recorded.state, kStem, true);
  const tape::NoGrad no_grad;
  plain.y = batch_norm_relu_max_pool2d(plain.x, plain.state, kStem, true);
  EXPECT_EQ(plain.y.to_doubles(), recorded.y.to_doubles());
  EXPECT_FALSE(plain.y.requires_grad());
}

TEST_P(NormReluPool, RefusesWhatItsPartsRefuse) {
  Normed run = start(numbers({2, 8, 8, 16}, -2, 2, 1));
  EXPECT_THROW(batch_norm_relu_max_pool2d(numbers({2, 8, 8, 5}, -2, 2, 1), run.state, kStem, true), ShapeError);
  EXPECT_THROW(batch_norm_relu_max_pool2d(run.x, run.state, {.window = 3, .stride = 2, .padding = 2}, true), ShapeError);
  EXPECT_THROW(batch_norm_relu_max_pool2d(numbers({2, 16}, -2, 2, 1), run.state, kStem, true), ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Here, NormReluPool, ::testing::ValuesIn(device_names()), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace mirilla::norm_pools
