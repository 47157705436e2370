// SPDX-License-Identifier: MIT
// Fused operations against the same operations composed from the core: equal on each device, whether it fuses them or not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "kernels/ledger.h"
#include "tests/engine/op_case.h"

namespace mirilla {
namespace {

void expect_near(const Tensor& got, const Tensor& want, double relative) {
  ASSERT_TRUE(got && want);
  ASSERT_EQ(got.shape(), want.shape());
  const std::vector<double> a = got.to_doubles(), b = want.to_doubles();
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(std::fabs(a[i] - b[i]), relative * largest) << "element " << i << ": " << a[i] << ", " << b[i];
}

void expect_equal(const Tensor& got, const Tensor& want) {
  ASSERT_TRUE(got && want);
  ASSERT_EQ(got.shape(), want.shape());
  EXPECT_EQ(got.to_doubles(), want.to_doubles());
}

class EveryDeviceFused : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor draw_tensor(const Shape& shape, uint32_t item) { return tensor_of(draw(shape.numel(), -2, 2, item), shape, DType::f32, device_); }
  Tensor leaf(const Shape& shape, uint32_t item) {
    Tensor tensor = draw_tensor(shape, item);
    tensor.set_requires_grad();
    return tensor;
  }

  Device& device_ = open_device(GetParam());

 private:
  Poison poison_;
};

// A norm with its inputs, made anew for each form of the computation.
struct Norm {
  Tensor x, residual;
  BatchNormState state;
};

class FusedNorm : public EveryDeviceFused {
 protected:
  Norm make(const Shape& shape, bool with_residual) {
    const Shape channels{shape[-1]};
    Norm norm{leaf(shape, 1), with_residual ? leaf(shape, 2) : Tensor(), {leaf(channels, 3), leaf(channels, 4), {}, {}}};
    norm.state.running_mean = draw_tensor(channels, 5);
    norm.state.running_var = tensor_of(draw(channels.numel(), 0.5, 2, 6), channels, DType::f32, device_);
    return norm;
  }

  static Tensor composed(Norm& norm, bool training, Tensor* normalized = nullptr) {
    Tensor y = batch_norm(norm.x, norm.state, training);
    if (normalized != nullptr) {
      tape::keep_gradient(y);
      *normalized = y;
    }
    return relu(norm.residual ? add(y, norm.residual) : y);
  }

  void expect_same_norm(const Norm& got, const Norm& want) {
    expect_equal(got.state.running_mean, want.state.running_mean);
    expect_equal(got.state.running_var, want.state.running_var);
    expect_near(got.x.grad(), want.x.grad(), 2e-6);
    expect_near(got.state.weight.grad(), want.state.weight.grad(), 2e-6);
    expect_near(got.state.bias.grad(), want.state.bias.grad(), 2e-6);
    if (want.residual) expect_near(got.residual.grad(), want.residual.grad(), 0);
  }

  const std::vector<Shape> shapes_{{2, 3, 5, 33}, {4, 8, 8, 64}, {6, 5}, {3, 1}};
};

TEST_P(FusedNorm, GivesWhatNormAddAndReluGive) {
  for (const Shape& shape : shapes_)
    for (const bool training : {true, false})
      for (const bool with_residual : {true, false}) {
        SCOPED_TRACE(to_string(shape) + (training ? " training" : " evaluation") + (with_residual ? " with residual" : ""));
        Norm one = make(shape, with_residual), other = make(shape, with_residual);
        const Tensor fused = batch_norm_add_relu(one.x, one.state, one.residual, training).y, plain = composed(other, training);
        expect_near(fused, plain, 5e-7);
        const Tensor seed = draw_tensor(shape, 9);
        tape::backward(fused, {.seed = seed});
        tape::backward(plain, {.seed = seed});
        expect_same_norm(one, other);
      }
}

TEST_P(FusedNorm, ShowsTheValueAndTheGradientBetweenNormAndSum) {
  for (const Shape& shape : shapes_)
    for (const bool with_residual : {true, false}) {
      SCOPED_TRACE(to_string(shape));
      Norm one = make(shape, with_residual), other = make(shape, with_residual);
      Tensor wanted;
      const auto [y, normalized] = batch_norm_add_relu(one.x, one.state, one.residual, true, true);
      const Tensor plain = composed(other, true, &wanted);
      expect_near(normalized, wanted, 5e-7);
      const Tensor seed = draw_tensor(shape, 9);
      tape::backward(y, {.seed = seed});
      tape::backward(plain, {.seed = seed});
      expect_near(normalized.grad(), wanted.grad(), 0);
      expect_same_norm(one, other);
    }
}

TEST_P(FusedNorm, ChangesNoBitWhenItIsWatched) {
  for (const Shape& shape : shapes_)
    for (const bool training : {true, false}) {
      SCOPED_TRACE(to_string(shape));
      Norm one = make(shape, true), other = make(shape, true);
      const auto watched = batch_norm_add_relu(one.x, one.state, one.residual, training, true);
      const auto plain = batch_norm_add_relu(other.x, other.state, other.residual, training, false);
      EXPECT_FALSE(plain.normalized);
      expect_equal(watched.y, plain.y);
      const Tensor seed = draw_tensor(shape, 9);
      tape::backward(watched.y, {.seed = seed});
      tape::backward(plain.y, {.seed = seed});
      expect_equal(one.x.grad(), other.x.grad());
      expect_equal(one.residual.grad(), other.residual.grad());
      expect_equal(one.state.weight.grad(), other.state.weight.grad());
      expect_equal(one.state.bias.grad(), other.state.bias.grad());
    }
}

TEST_P(FusedNorm, ShowsItsGradientWhereNothingElseWantsOne) {
  Norm norm = make({2, 3, 3, 8}, true);
  for (Tensor* tensor : {&norm.x, &norm.residual, &norm.state.weight, &norm.state.bias}) tensor->set_requires_grad(false);
  const tape::NoGrad no_grad;
  const auto [y, normalized] = batch_norm_add_relu(norm.x, norm.state, norm.residual, false, true);
  const Tensor seed = draw_tensor(y.shape(), 9);
  tape::backward(y, {.seed = seed});
  std::vector<double> want = seed.to_doubles();
  const std::vector<double> out = y.to_doubles();
  for (size_t i = 0; i < want.size(); ++i) want[i] = out[i] > 0 ? want[i] : 0;
  EXPECT_EQ(normalized.grad().to_doubles(), want);
  EXPECT_FALSE(norm.x.grad());
}

TEST_P(FusedNorm, KeepsABitAnElementInPlaceOfItsResultWhereTheDeviceLeavesThem) {
  Norm norm = make({4, 8, 8, 64}, true);
  const Tensor y = batch_norm_add_relu(norm.x, norm.state, norm.residual, true).y;
  EXPECT_EQ(y.storage().use_count(), device_.backend().has<op::ReluMask>() ? 1 : 2);
}

// A value computed from x whose gradient is `gradient`, whatever arrives.
Tensor with_gradient(const Tensor& x, const Tensor& gradient) {
  return tape::record("with_gradient", {x}, zeros(x.shape(), x.dtype(), x.device()),
                      [gradient](const Tensor&) { return tape::Gradients{gradient}; });
}

TEST_P(FusedNorm, OfAGradientInPartsHasTheBitsOfTheTapesSum) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const Shape& shape : shapes_)
      for (const bool training : {true, false})
        for (const bool with_residual : {true, false})
          for (const bool watched : {true, false})
            for (const bool guided : {true, false}) {
              SCOPED_TRACE(fmt::format("{} {} training {} residual {} watched {} guided {}", name_of(dtype), to_string(shape), training,
                                       with_residual, watched, guided));
              std::optional<GuidedRelu> scope;
              if (guided) scope.emplace();
              Norm one = make(shape, with_residual), other = make(shape, with_residual);
              const auto y_of = [&](Norm& norm) {
                return batch_norm_add_relu(cast(norm.x, dtype), norm.state, norm.residual ? cast(norm.residual, dtype) : Tensor(), training)
                    .y;
              };
              Tensor in_parts = y_of(one), whole = y_of(other);
              if (watched) tape::keep_gradient(in_parts);
              const Tensor a = cast(draw_tensor(shape, 7), dtype), b = cast(draw_tensor(shape, 8), dtype),
                           c = cast(draw_tensor(shape, 9), dtype);
              Tensor seed = empty_like(a);
              Tensor sum = with_gradient(in_parts, a);
              for (const Tensor& part : {b, c}) sum = add(sum, with_gradient(in_parts, part));
              tape::backward(sum, {.seed = a});
              seed.backend().run(op::Add{c, b, seed});
              seed.backend().run(op::Add{seed, a, seed});
              tape::backward(whole, {.seed = seed});
              if (watched) expect_equal(in_parts.grad(), seed);
              expect_equal(one.x.grad(), other.x.grad());
              expect_equal(one.state.weight.grad(), other.state.weight.grad());
              expect_equal(one.state.bias.grad(), other.state.bias.grad());
              if (with_residual) expect_equal(one.residual.grad(), other.residual.grad());
            }
}

// Counted on the account of a GPU.
TEST(FusedNormOnAGpu, AddsTheTwoPartsOfAGradientInItsOwnPass) {
  LedgerDevice& device = new_ledger_device({.name = "GPU"});
  const auto adds = [&](bool watched, bool frozen) {
    const auto made = [&](const Shape& shape) {
      Tensor tensor = empty(shape, DType::f32, device);
      tensor.set_requires_grad();
      return tensor;
    };
    BatchNormState state{made({16}), made({16}), empty({16}, DType::f32, device), empty({16}, DType::f32, device)};
    if (frozen) state.weight.set_requires_grad(false), state.bias.set_requires_grad(false);
    const Tensor x = made({64, 16});
    Tensor y = batch_norm_add_relu(x, state, made({64, 16}), !frozen).y;
    if (watched) tape::keep_gradient(y);
    const Tensor root = add(relu(y), relu(y));
    device.take();
    tape::backward(root, {.seed = empty_like(root)});
    const std::vector<LedgerEntry> entries = device.take().entries;
    return std::count_if(entries.begin(), entries.end(), [](const LedgerEntry& entry) { return entry.operation == "add"; });
  };
  EXPECT_EQ(adds(false, false), 0);
  EXPECT_EQ(adds(true, false), 1) << "whoever watches wants the sum";
  EXPECT_EQ(adds(false, true), 1) << "no pass makes sums";
}

class FusedPool : public EveryDeviceFused {};

TEST_P(FusedPool, GivesWhatBothPoolsAndConcatGive) {
  for (const Shape& shape : {Shape{2, 5, 7, 3}, Shape{3, 4, 4, 64}, Shape{1, 1, 1, 9}})
    for (const int cells : {1, 2, 3}) {
      SCOPED_TRACE(to_string(shape) + " to " + std::to_string(cells));
      const Tensor one = leaf(shape, 1), other = leaf(shape, 1);
      const Tensor fused = adaptive_concat_pool2d(one, cells, cells);
      const Tensor plain = concat(adaptive_max_pool2d(other, cells, cells), adaptive_avg_pool2d(other, cells, cells));
      expect_near(fused, plain, 2e-7);
      const Tensor seed = draw_tensor(fused.shape(), 9);
      tape::backward(fused, {.seed = seed});
      tape::backward(plain, {.seed = seed});
      expect_near(one.grad(), other.grad(), 4e-7);
    }
}

class FusedConvolution : public EveryDeviceFused {};

TEST_P(FusedConvolution, GivesWhatConv2dAddAndReluGive) {
  const Tensor x = draw_tensor({2, 7, 6, 16}, 1), w = draw_tensor({33, 3, 3, 16}, 2), bias = draw_tensor({33}, 3);
  for (const int stride : {1, 2})
    for (const bool with_relu : {true, false})
      for (const bool with_residual : {true, false}) {
        SCOPED_TRACE(fmt::format("stride {} relu {} residual {}", stride, with_relu, with_residual));
        const Conv2dSpec spec{.stride = stride, .padding = 1};
        Tensor plain = conv2d(x, w, bias, spec);
        const Tensor residual = with_residual ? draw_tensor(plain.shape(), 4) : Tensor();
        const Tensor fused = conv2d_bias_add_relu(x, w, bias, residual, with_relu, spec);
        if (residual) plain = add(plain, residual);
        expect_near(fused, with_relu ? relu(plain) : plain, 1e-6);
      }
}

TEST_P(FusedConvolution, HoldsAFoldedBatchNorm) {
  const Shape channels{12};
  const Tensor x = draw_tensor({2, 6, 6, 8}, 1), w = draw_tensor({12, 3, 3, 8}, 2), bias = draw_tensor(channels, 3);
  BatchNormState state{draw_tensor(channels, 4), draw_tensor(channels, 5), draw_tensor(channels, 6),
                       tensor_of(draw(12, 0.5, 2, 7), channels, DType::f32, device_)};
  for (const Tensor& maybe : {bias, Tensor()}) {
    const FoldedBatchNorm folded = fold_batch_norm(w, maybe, state);
    expect_near(conv2d_bias_add_relu(x, folded.w, folded.bias, {}, true, {.padding = 1}),
                batch_norm_add_relu(conv2d(x, w, maybe, {.padding = 1}), state, {}, false).y, 2e-6);
  }
}

TEST_P(FusedConvolution, GivesThePlaceBetweenNormAndSumItsGradientAndChangesNoBit) {
  const Tensor x = leaf({2, 5, 6, 16}, 1), residual = leaf({2, 5, 6, 33}, 4), w = draw_tensor({33, 3, 3, 16}, 2),
               bias = draw_tensor({33}, 3);
  const Conv2dSpec spec{.padding = 1};
  for (const bool with_relu : {true, false}) {
    const Tensor alone = conv2d_bias_add_relu(x, w, bias, residual, with_relu, spec);
    Tensor inside = conv2d(x.detach(), w, bias, spec), plain_inside = conv2d(x.detach(), w, bias, spec);
    for (Tensor* tensor : {&inside, &plain_inside}) tape::keep_gradient(*tensor);
    const Tensor y = conv2d_bias_add_relu(x, w, bias, residual, with_relu, spec, inside), sum = add(plain_inside, residual.detach());
    EXPECT_EQ(y.to_doubles(), alone.to_doubles());
    const Tensor seed = draw_tensor(y.shape(), 9);
    tape::backward(y, {.seed = seed});
    tape::backward(with_relu ? relu(sum) : sum, {.seed = seed});
    expect_equal(inside.grad(), plain_inside.grad());
    EXPECT_TRUE(x.grad());
    EXPECT_FALSE(w.grad());
  }
}

const auto kNames = [](const auto& which) { return which.param; };
INSTANTIATE_TEST_SUITE_P(Here, FusedNorm, ::testing::ValuesIn(device_names()), kNames);
INSTANTIATE_TEST_SUITE_P(Here, FusedPool, ::testing::ValuesIn(device_names()), kNames);
INSTANTIATE_TEST_SUITE_P(Here, FusedConvolution, ::testing::ValuesIn(device_names()), kNames);

}  // namespace
}  // namespace mirilla
