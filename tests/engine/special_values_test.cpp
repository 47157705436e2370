// SPDX-License-Identifier: MIT
// A NaN, an infinity or a negative variance in each input of convolution, norm, sum and ReLU, in one pass or composed, trained, evaluated
// or folded, on every device: the result is what the reference composes. tests/kernels/special tries each operation by itself.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

// The numbers of one block of a network. The channels fit no vector size, or every one.
struct Block {
  static constexpr std::array<const char*, 7> kNames{"x", "w", "residual", "weight", "bias", "running_mean", "running_var"};
  std::array<Shape, 7> shapes;
  Values values;

  explicit Block(int64_t channels)
      : shapes{Shape{2, 4, 5, channels}, Shape{channels, 3, 3, channels},
               Shape{2, 4, 5, channels}, Shape{channels},
               Shape{channels},          Shape{channels},
               Shape{channels}} {
    for (uint32_t i = 0; i < shapes.size(); ++i) values.push_back(draw(shapes[i].numel(), i == 6 ? 0.5 : -1, i == 6 ? 2 : 1, i));
  }
};

enum class Form { trained, evaluated, folded };

Tensor of_type(const Tensor& x, DType dtype) { return dtype == x.dtype() ? x : cast(x, dtype); }

// The results of the block and, in training, the gradients of x and residual.
std::vector<std::vector<double>> run(const Block& block, Form form, DType dtype, Device& device) {
  std::vector<Tensor> t;
  for (size_t i = 0; i < block.shapes.size(); ++i) t.push_back(tensor_of(block.values[i], block.shapes[i], DType::f32, device));
  BatchNormState state{t[3], t[4], t[5], t[6]};
  Tensor x = of_type(t[0], dtype), residual = of_type(t[2], dtype);
  const Conv2dSpec spec{.padding = 1};
  if (form == Form::folded) {
    const FoldedBatchNorm folded = fold_batch_norm(t[1], {}, state);
    return {conv2d_bias_add_relu(x, of_type(folded.w, dtype), folded.bias, residual, true, spec).to_doubles()};
  }
  if (form == Form::trained)
    for (Tensor* leaf : {&x, &residual}) leaf->set_requires_grad();
  const Tensor w = of_type(t[1], dtype), y = batch_norm_add_relu(conv2d(x, w, {}, spec), state, residual, form == Form::trained).y;
  if (form == Form::evaluated) return {y.to_doubles()};
  const Tensor seed = of_type(tensor_of(draw(y.numel(), -1, 1, 9), y.shape(), DType::f32, device), dtype);
  tape::backward(y, {.seed = seed});
  return {y.to_doubles(), x.grad().to_doubles(), residual.grad().to_doubles()};
}

// Padding beside a weight that is not finite may add NaN; so may a factor that is not finite, once it is in the weights: `or_nan`.
void expect_same_kinds(const std::vector<double>& got, const std::vector<double>& want, bool or_nan, double relative) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 0;
  for (const double value : want)
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < want.size(); ++i) {
    const bool same = std::isnan(want[i])   ? or_nan ? !std::isfinite(got[i]) : std::isnan(got[i])
                        : std::isinf(want[i]) ? got[i] == want[i]
                                            : std::fabs(got[i] - want[i]) <= relative * largest;
    ASSERT_TRUE(same || (or_nan && std::isnan(got[i]))) << "element " << i << " is " << got[i] << " and should be " << want[i];
  }
}

class SpecialValuesThroughOps : public testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());
};

TEST_P(SpecialValuesThroughOps, GoTheSameWayInOnePassComposedAndFolded) {
  Device& reference = open_device("reference");
  for (const int64_t channels : {5, 16})
    for (size_t into = 0; into < Block::kNames.size(); ++into)
      for (const double special : {kNan, kInfinity, -kInfinity, -1.0}) {
        if (special == -1.0 && into != 6) continue;  // only as a negative variance
        Block block(channels);
        block.values[into][block.values[into].size() / 2] = special;
        for (const Form form : {Form::trained, Form::evaluated, Form::folded})
          for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
            SCOPED_TRACE(fmt::format("{} in {}, {} channels, {}, form {}", special, Block::kNames[into], channels, name_of(dtype),
                                     static_cast<int>(form)));
            const auto want = run(block, form == Form::folded ? Form::evaluated : form, dtype, reference);
            const auto got = run(block, form, dtype, device_);
            const bool or_nan = into == 1 || (form == Form::folded && into >= 3);
            const double relative = dtype == DType::f32 ? 1e-4 : dtype == DType::f16 ? 2e-2 : 1e-1;
            for (size_t i = 0; i < want.size(); ++i) expect_same_kinds(got[i], want[i], or_nan, relative);
          }
      }
}

// With an overflow in its first layer, a network in f16 must not give finite logits.
TEST_P(SpecialValuesThroughOps, BringAnOverflowOfAHalfToTheLogits) {
  const Block block(16);
  const auto half = [&](size_t i, double factor) {
    std::vector<double> values = block.values[i];
    for (double& value : values) value *= factor;
    return cast(tensor_of(values, block.shapes[i], DType::f32, device_), DType::f16);
  };
  const Tensor bias = tensor_of(draw(16, -1, 1, 4), {16}, DType::f32, device_);
  for (const double factor : {1.0, 3e4}) {
    Tensor y = conv2d_bias_add_relu(half(0, 1), half(1, factor), bias, {}, true, {.padding = 1});
    for (int layer = 0; layer < 3; ++layer) y = conv2d_bias_add_relu(y, half(1, 0.1), bias, y, true, {.padding = 1});
    const Tensor features = adaptive_concat_pool2d(y, 1, 1).view({2, 32});
    const Tensor w = cast(tensor_of(draw(6 * 32, -1, 1, 7), {6, 32}, DType::f32, device_), DType::f16);
    int finite = 0;
    for (const double logit : linear(features, w, {}).to_doubles()) finite += std::isfinite(logit);
    EXPECT_EQ(finite, factor == 1.0 ? 12 : 0) << "finite logits of 12, weights times " << factor;
  }
}

// The host knows how large a convolution's results are without reading them. It must notice when other code writes to the tensor.
TEST_P(SpecialValuesThroughOps, NoticeWhatIsWrittenBetweenTwoConvolutions) {
  const Block block(16);
  const auto tensor = [&](size_t i) { return tensor_of(block.values[i], block.shapes[i], DType::f32, device_); };
  const Tensor x = tensor(0), w = tensor(1), bias = tensor(4);
  const auto any_nan = [](const Tensor& y) {
    int count = 0;
    for (const double value : y.to_doubles()) count += std::isnan(value);
    return count > 0;
  };
  const auto layer = [&](const Tensor& in, const Tensor& residual) {
    return conv2d_bias_add_relu(in, w, bias, residual, true, {.padding = 1});
  };
  std::vector<double> with_nan = block.values[2];
  with_nan[with_nan.size() - 3] = kNan;
  const Tensor broken = tensor_of(with_nan, block.shapes[2], DType::f32, device_);
  for (const bool in_residual : {false, true}) {
    Tensor y = layer(x, {});
    const auto next = [&] { return in_residual ? layer(x, y) : layer(y, {}); };
    EXPECT_FALSE(any_nan(next()));
    y.copy_from(broken);
    EXPECT_TRUE(any_nan(next()));
    y.copy_from(x);
    EXPECT_FALSE(any_nan(next()));
    Tensor second = y.slice(1, 2);  // a part of the same storage
    second.copy_from(broken.slice(1, 2));
    EXPECT_TRUE(any_nan(next()));
  }
  // Bounds grow from layer to layer without limit although the values do not; a NaN must still be found.
  const Tensor small = tensor_of(std::vector<double>(16 * 9 * 16, 1e-3), block.shapes[1], DType::f32, device_);
  for (const bool is_broken : {false, true}) {
    Tensor deep = is_broken ? broken : x;
    for (int i = 0; i < 60; ++i) deep = conv2d_bias_add_relu(deep, i % 2 ? small : w, bias, {}, true, {.padding = 1});
    EXPECT_EQ(any_nan(deep), is_broken);
  }
}

TEST_P(SpecialValuesThroughOps, PassReluDropoutAndPoolsForwardAndBack) {
  Tensor x = tensor_of({kNan, -kInfinity, kInfinity, -1, 2, kNan}, {1, 2, 3, 1}, DType::f32, device_);
  x.set_requires_grad();
  const Tensor y = relu(x);
  tape::backward(y, {.seed = tensor_of({1, 2, 3, 4, 5, 6}, x.shape(), DType::f32, device_)});
  expect_same_kinds(y.to_doubles(), {kNan, 0, kInfinity, 0, 2, kNan}, false, 0);
  EXPECT_EQ(x.grad().to_doubles(), (std::vector<double>{1, 0, 3, 0, 5, 6}));

  const std::vector<double> dropped = dropout(tensor_of(std::vector<double>(64, kNan), {64}, DType::f32, device_), {.p = 0.5}).to_doubles();
  for (const double value : dropped) EXPECT_TRUE(std::isnan(value));

  Tensor in = tensor_of({1, kNan, 3, kNan}, {1, 2, 2, 1}, DType::f32, device_);
  in.set_requires_grad();
  tape::backward(max_pool2d(in, {.window = 2, .stride = 2}), {.seed = tensor_of({7}, {1, 1, 1, 1}, DType::f32, device_)});
  EXPECT_EQ(in.grad().to_doubles(), (std::vector<double>{0, 0, 0, 7})) << "the last NaN of a window wins";
}

INSTANTIATE_TEST_SUITE_P(Here, SpecialValuesThroughOps, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

}  // namespace
}  // namespace mirilla
