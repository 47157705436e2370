// SPDX-License-Identifier: MIT
#include "engine/amp/autocast.h"

#include <gtest/gtest.h>

#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla {
namespace {

struct Where {
  std::string device;
  DType half;
};

class Autocasting : public ::testing::TestWithParam<Where> {
 protected:
  Tensor random(const Shape& shape, uint32_t item, DType dtype = DType::f32) {
    return tensor_of(draw(shape.numel(), -1, 1, item), shape, DType::f32, device_).to(dtype);
  }
  Device& device_ = open_device(GetParam().device);
  DType half_ = GetParam().half;
};

std::vector<Where> everywhere() {
  std::vector<Where> all;
  for (const std::string& name : device_names())
    for (const DType half : {DType::f16, DType::bf16}) all.push_back({name, half});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Here, Autocasting, ::testing::ValuesIn(everywhere()),
                         [](const auto& which) { return which.param.device + "_" + std::string(name_of(which.param.half)); });

TEST_P(Autocasting, GivesEachOperatorTheDTypeThatTheTableSays) {
  const Tensor x = random({2, 4, 4, 3}, 1), w = random({5, 3, 3, 3}, 2), rows = random({2, 3}, 3), matrix = random({4, 3}, 4);
  const Tensor half = x.to(half_), half_rows = rows.to(half_);
  BatchNormState norm{full({3}, 1, DType::f32, device_), zeros({3}, DType::f32, device_), zeros({3}, DType::f32, device_),
                      full({3}, 1, DType::f32, device_)};
  const amp::Autocast scope(half_);
  EXPECT_EQ(conv2d(x, w, {}, {}).dtype(), half_);
  EXPECT_EQ(conv2d(half, w, {}, {}).dtype(), half_);
  EXPECT_EQ(conv2d_bias_add_relu(x, w, zeros({5}, DType::f32, device_), {}, true, {}).dtype(), half_);
  EXPECT_EQ(linear(rows, matrix, {}).dtype(), half_);
  EXPECT_EQ(softmax(half_rows).dtype(), DType::f32);
  EXPECT_EQ(cross_entropy(half_rows, from_host(std::vector<int64_t>{0, 1}, {2}, device_)).loss.dtype(), DType::f32);
  EXPECT_EQ(sum(half).dtype(), DType::f32);
  EXPECT_EQ(mean(half).dtype(), DType::f32);
  EXPECT_EQ(add(half, x).dtype(), DType::f32);
  EXPECT_EQ(concat(half, x).dtype(), DType::f32);
  for (const Tensor& as_it_comes : {x, half}) {
    EXPECT_EQ(relu(as_it_comes).dtype(), as_it_comes.dtype());
    EXPECT_EQ(batch_norm(as_it_comes, norm, true).dtype(), as_it_comes.dtype());
    EXPECT_EQ(batch_norm(as_it_comes, norm, false).dtype(), as_it_comes.dtype());
    EXPECT_EQ(max_pool2d(as_it_comes, {}).dtype(), as_it_comes.dtype());
    EXPECT_EQ(adaptive_concat_pool2d(as_it_comes, 1, 1).dtype(), as_it_comes.dtype());
    EXPECT_EQ(dropout(as_it_comes, {}).dtype(), as_it_comes.dtype());
    EXPECT_EQ(add(as_it_comes, as_it_comes).dtype(), as_it_comes.dtype());
  }
}

// A convolution under the scope gives the same as one with half inputs.
TEST_P(Autocasting, ConvolvesHalfCopiesAndGivesTheWeightsTheirGradientInF32) {
  Tensor x = random({2, 5, 5, 3}, 1).set_requires_grad(), w = random({4, 3, 3, 3}, 2).set_requires_grad(),
         bias = random({4}, 3).set_requires_grad();
  const Conv2dSpec spec{.stride = 2, .padding = 1};
  Tensor y;
  {
    const amp::Autocast scope(half_);
    y = conv2d(x, w, bias, spec);
  }
  const Tensor dy = random(y.shape(), 4, half_);
  tape::backward(y, {.seed = dy});
  Backend& backend = device_.backend();
  const Tensor hx = x.to(half_), hw = w.to(half_);
  Tensor want_y = empty_like(y), dx = empty_like(hx), dw = empty_like(w), dbias = empty_like(bias);
  backend.run(op::Conv2d{hx, hw, bias, spec, want_y});
  backend.run(op::Conv2dBackwardData{dy, hw, spec, dx});
  backend.run(op::Conv2dBackwardWeight{hx, dy, spec, dw});
  backend.run(op::SumRows{dy, dbias});
  EXPECT_EQ(y.to_doubles(), want_y.to_doubles());
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().to_doubles(), dx.to_doubles());
  EXPECT_EQ(w.grad().dtype(), DType::f32);
  EXPECT_EQ(w.grad().to_doubles(), dw.to_doubles());
  EXPECT_EQ(bias.grad().to_doubles(), dbias.to_doubles());
}

TEST_P(Autocasting, MultipliesHalfCopiesInALinearLayerToo) {
  Tensor x = random({6, 5}, 1).set_requires_grad(), w = random({4, 5}, 2).set_requires_grad(), bias = random({4}, 3).set_requires_grad();
  Tensor y;
  {
    const amp::Autocast scope(half_);
    y = linear(x, w, bias);
  }
  const Tensor dy = random(y.shape(), 4, half_);
  tape::backward(y, {.seed = dy});
  Backend& backend = device_.backend();
  const Tensor hx = x.to(half_), hw = w.to(half_);
  Tensor want_y = empty_like(y), dx = empty_like(hx), dw = empty_like(w);
  backend.run(op::Matmul{hx, hw, {.transpose_b = true}, want_y});
  backend.run(op::AddBias{want_y, bias, want_y});
  backend.run(op::Matmul{dy, hw, {}, dx});
  backend.run(op::Matmul{dy, hx, {.transpose_a = true}, dw});
  EXPECT_EQ(y.to_doubles(), want_y.to_doubles());
  EXPECT_EQ(x.grad().to_doubles(), dx.to_doubles());
  EXPECT_EQ(w.grad().dtype(), DType::f32);
  EXPECT_EQ(w.grad().to_doubles(), dw.to_doubles());
}

TEST_P(Autocasting, TakesTheLossOfHalfLogitsInF32AndSendsHalvesBack) {
  Tensor half = random({4, 3}, 1, half_).set_requires_grad(), wide = half.to(DType::f32).set_requires_grad();
  const Tensor targets = from_host(std::vector<int64_t>{0, 2, 1, 0}, {4}, device_);
  const Tensor loss = cross_entropy(half, targets).loss, want = cross_entropy(wide, targets).loss;
  tape::backward(loss);
  tape::backward(want);
  EXPECT_EQ(loss.item(), want.item());
  EXPECT_EQ(half.grad().dtype(), half_);
  EXPECT_EQ(half.grad().to_doubles(), wide.grad().to(half_).to_doubles());
}

TEST_P(Autocasting, SumsAndMeansOfHalvesSendHalvesBack) {
  for (const bool average : {false, true}) {
    Tensor x = random({1000}, 1, half_).set_requires_grad();
    const amp::Autocast scope(half_);
    tape::backward(average ? mean(x) : sum(x));
    EXPECT_EQ(x.grad().to_doubles(), full({1000}, average ? 1e-3 : 1, half_, device_).to_doubles());
  }
}

TEST_P(Autocasting, KeepsAHalfCopyUntilTheWeightsAreWritten) {
  Tensor w = random({4, 3}, 1);
  EXPECT_FALSE(amp::current_half_copy(w));
  const Tensor first = amp::half_copy(w, half_);
  EXPECT_EQ(first.to_doubles(), w.to(half_).to_doubles());
  EXPECT_TRUE(amp::half_copy(w, half_).is_same_view(first));
  EXPECT_TRUE(amp::current_half_copy(w).is_same_view(first));
  const std::vector<double> before = first.to_doubles();
  w.fill(0.25);
  EXPECT_FALSE(amp::current_half_copy(w));
  const Tensor second = amp::half_copy(w, half_);
  EXPECT_EQ(second.to_doubles(), std::vector<double>(12, 0.25));
  EXPECT_EQ(first.to_doubles(), before) << "somebody held the first, and it was not written over";
  const DType other = half_ == DType::f16 ? DType::bf16 : DType::f16;
  EXPECT_EQ(amp::half_copy(w, other).dtype(), other);
  EXPECT_TRUE(amp::half_copy(w.to(half_), half_));
}

TEST_P(Autocasting, BackwardNoticesAHalfCopyThatWasWrittenOver) {
  Tensor x = random({2, 3}, 1).set_requires_grad(), w = random({4, 3}, 2).set_requires_grad();
  Tensor y;
  {
    const amp::Autocast scope(half_);
    y = linear(x, w, {});
  }
  Tensor copy = amp::current_half_copy(w);
  copy.fill(0);
  EXPECT_THROW(tape::backward(y, {.seed = random(y.shape(), 3, half_)}), Error);
}

TEST_P(Autocasting, NormalisesAfterTheRunningVarianceThatIsThere) {
  BatchNormState norm{full({3}, 1, DType::f32, device_), zeros({3}, DType::f32, device_), zeros({3}, DType::f32, device_),
                      full({3}, 3, DType::f32, device_), 1.0};
  const Tensor x = full({2, 3}, 8, half_, device_);
  EXPECT_EQ(batch_norm(x, norm, false).to_doubles(), std::vector<double>(6, 4)) << "8 / sqrt(3 + 1)";
  norm.running_var.fill(15);
  EXPECT_EQ(batch_norm(x, norm, false).to_doubles(), std::vector<double>(6, 2)) << "8 / sqrt(15 + 1)";
  norm.running_var = full({3}, 63, DType::f32, device_);
  EXPECT_EQ(batch_norm(x, norm, false).to_doubles(), std::vector<double>(6, 1)) << "another tensor";
  norm.eps = 1e-30;
  norm.running_var.fill(4);
  EXPECT_EQ(batch_norm(x, norm, false).to_doubles(), std::vector<double>(6, 4)) << "another eps";
}

TEST_P(Autocasting, RefusesOtherMixesAndSaysWhatHelps) {
  const Tensor x = random({2, 4, 4, 3}, 1, half_), w = random({5, 3, 3, 3}, 2), rows = random({2, 3}, 3, half_), matrix = random({4, 3}, 4);
  const auto hint_of = [](const auto& run) -> std::string {
    try {
      run();
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_NE(hint_of([&] { conv2d(x, w, {}, {}); }).find("Autocast"), std::string::npos);
  EXPECT_NE(hint_of([&] { linear(rows, matrix, {}); }).find("Autocast"), std::string::npos);
  EXPECT_NE(hint_of([&] { add(x, x.to(DType::f32)); }).find("Autocast"), std::string::npos);
  EXPECT_NE(hint_of([&] { conv2d(x, w.to(half_), zeros({5}, half_, device_), {}); }).find("the bias must be f32"), std::string::npos);
  BatchNormState norm{full({3}, 1, half_, device_), zeros({3}, half_, device_), zeros({3}, half_, device_), full({3}, 1, half_, device_)};
  EXPECT_NE(hint_of([&] { batch_norm(x, norm, true); }).find("the weight must be f32"), std::string::npos);
}

TEST(Autocast, ScopesNestAndF32ClosesThem) {
  EXPECT_EQ(amp::autocast_dtype(), DType::f32);
  {
    const amp::Autocast outer(DType::f16);
    EXPECT_EQ(amp::autocast_dtype(), DType::f16);
    {
      const amp::Autocast inner(DType::f32);
      EXPECT_EQ(amp::autocast_dtype(), DType::f32);
      const amp::Autocast innermost(DType::bf16);
      EXPECT_EQ(amp::autocast_dtype(), DType::bf16);
    }
    EXPECT_EQ(amp::autocast_dtype(), DType::f16);
  }
  EXPECT_EQ(amp::autocast_dtype(), DType::f32);
  EXPECT_THROW(amp::Autocast(DType::f64), Error);
  EXPECT_THROW(amp::Autocast(DType::u8), Error);
}

TEST(Autocast, LeavesF64Alone) {
  Device& device = open_device("reference");
  const Tensor x = tensor_of(draw(6, -1, 1, 1), {2, 3}, DType::f64, device), w = tensor_of(draw(12, -1, 1, 2), {4, 3}, DType::f64, device);
  const std::vector<double> want = linear(x, w, {}).to_doubles();
  const amp::Autocast scope(DType::f16);
  EXPECT_EQ(linear(x, w, {}).to_doubles(), want);
  EXPECT_EQ(sum(x).dtype(), DType::f64);
}

TEST(Autocast, KnowsWhatItsTableSays) {
  EXPECT_EQ(amp::policy_of("conv2d"), amp::Policy::half);
  EXPECT_EQ(amp::policy_of("softmax"), amp::Policy::f32);
  EXPECT_EQ(amp::policy_of("add"), amp::Policy::widest);
  EXPECT_EQ(amp::policy_of("relu"), amp::Policy::as_it_comes);
  EXPECT_EQ(amp::policy_of("an operator of tomorrow"), amp::Policy::as_it_comes);
}

}  // namespace
}  // namespace mirilla
