// SPDX-License-Identifier: MIT
// The messages of operators for inputs that do not fit: the operator, what was expected, what was given.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

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
#include "engine/tape.h"
#include "kernels/devices.h"

namespace mirilla {
namespace {

Tensor f32(const Shape& shape) { return zeros(shape, DType::f32, open_device("reference")); }
Tensor f64(const Shape& shape) { return zeros(shape, DType::f64, open_device("reference")); }

BatchNormState norm_of(int64_t channels) { return {f32({channels}), f32({channels}), f32({channels}), f32({channels})}; }

struct Refusal {
  const char* name;
  std::function<void()> call;
  std::vector<std::string> says;  // parts of the message
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

class Refuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refuses, InASentenceThatNamesBothSides) {
  try {
    GetParam().call();
    FAIL() << "it was accepted";
  } catch (const ShapeError& error) {
    for (const std::string& part : GetParam().says)
      EXPECT_NE(error.message().find(part), std::string::npos) << part << " in: " << error.what();
  }
}

const std::vector<Refusal> kRefusals{
    {"AddOfShapes",
     [] {
       add(f32({2, 3}), f32({3, 2}));
     },
     {"add", "(2,3)", "(3,2)"}},
    {"AddOfDTypes", [] { add(f32({2}), f64({2})); }, {"add", "f32", "f64"}},
    {"AddOfDevices", [] { add(f32({2}), f32({2}).to(open_device("cpu"))); }, {"add", "reference", "cpu"}},
    {"ConvChannels",
     [] {
       conv2d(f32({8, 32, 32, 3}), f32({64, 7, 7, 4}), {}, {});
     },
     {"conv2d", "(8,32,32,3)", "3 channels", "(64,7,7,4)", "4"}},
    {"ConvRank",
     [] {
       conv2d(f32({32, 32, 3}), f32({64, 7, 7, 3}), {}, {});
     },
     {"conv2d", "(N,H,W,C)", "(32,32,3)"}},
    {"ConvBias",
     [] {
       conv2d(f32({1, 4, 4, 3}), f32({5, 3, 3, 3}), f32({4}), {});
     },
     {"conv2d", "bias", "(5)", "(4)"}},
    {"ConvWindow",
     [] {
       conv2d(f32({1, 2, 9, 3}), f32({5, 5, 5, 3}), {}, {.padding = 1});
     },
     {"conv2d", "(1,2,9,3)", "5x5"}},
    {"ConvDilatedWindow",
     [] {
       conv2d(f32({1, 4, 4, 3}), f32({5, 3, 3, 3}), {}, {.dilation = 2});
     },
     {"conv2d", "5x5"}},
    {"ConvStride",
     [] {
       conv2d(f32({1, 4, 4, 3}), f32({5, 3, 3, 3}), {}, {.stride = 0});
     },
     {"conv2d", "stride 0"}},
    {"ConvResidual",
     [] {
       conv2d_bias_add_relu(f32({1, 4, 4, 3}), f32({5, 1, 1, 3}), f32({5}), f32({1, 4, 4, 3}), true, {});
     },
     {"conv2d_bias_add_relu", "(1,4,4,5)", "(1,4,4,3)"}},
    {"NormChannels",
     [] {
       BatchNormState state = norm_of(4);
       batch_norm(f32({2, 2, 2, 5}), state, true);
     },
     {"batch_norm", "(5)", "(4)"}},
    {"NormOfOneValue",
     [] {
       BatchNormState state = norm_of(4);
       batch_norm(f32({1, 1, 1, 4}), state, true);
     },
     {"batch_norm", "(1,1,1,4)"}},
    {"NormResidual",
     [] {
       BatchNormState state = norm_of(4);
       batch_norm_add_relu(f32({2, 2, 2, 4}), state, f32({2, 2, 4}), true);
     },
     {"batch_norm_add_relu", "(2,2,2,4)", "(2,2,4)"}},
    {"LinearFeatures",
     [] {
       linear(f32({2, 512}), f32({6, 1024}), {});
     },
     {"linear", "(2,512)", "512", "(6,1024)", "1024"}},
    {"LinearRank",
     [] {
       linear(f32({2, 1, 1, 512}), f32({6, 512}), {});
     },
     {"linear", "(N,I)", "(2,1,1,512)"}},
    {"LinearBias",
     [] {
       linear(f32({2, 5}), f32({6, 5}), f32({5}));
     },
     {"linear", "bias", "(6)", "(5)"}},
    {"PoolWindow",
     [] {
       max_pool2d(f32({1, 2, 2, 3}), {.window = 3});
     },
     {"max_pool2d", "(1,2,2,3)", "3"}},
    {"PoolPadding",
     [] {
       max_pool2d(f32({1, 8, 8, 3}), {.window = 3, .padding = 2});
     },
     {"max_pool2d", "padding 2"}},
    {"PoolPlaces",
     [] {
       max_pool2d(f32({1, 32, 32, 3}), {.window = 17});
     },
     {"max_pool2d", "window 17"}},
    {"AdaptiveNoCells",
     [] {
       adaptive_avg_pool2d(f32({1, 8, 8, 3}), 0, 1);
     },
     {"adaptive_avg_pool2d", "0x1"}},
    {"AdaptiveNoPixels",
     [] {
       adaptive_max_pool2d(f32({1, 0, 8, 3}), 1, 1);
     },
     {"adaptive_max_pool2d", "(1,0,8,3)"}},
    {"ConcatRows",
     [] {
       concat(f32({2, 3}), f32({3, 3}));
     },
     {"concat", "(2,3)", "(3,3)"}},
    {"ConcatRank",
     [] {
       concat(f32({2, 3}), f32({2}));
     },
     {"concat", "(2,3)", "(2)"}},
    {"DropoutOfAll", [] { dropout(f32({2}), {.p = 1}); }, {"dropout", "[0,1)", "1"}},
    {"DropoutNegative", [] { dropout(f32({2}), {.p = -0.5}); }, {"dropout", "-0.5"}},
    {"CastOfLabels", [] { cast(f32({2}), DType::i64); }, {"cast", "f32", "i64"}},
    {"FlattenScalar", [] { flatten(f32({3})); }, {"flatten", "(3)"}},
    {"SoftmaxRank", [] { softmax(f32({3})); }, {"softmax", "(N,C)", "(3)"}},
    {"LossTargets",
     [] {
       cross_entropy(f32({3, 2}), zeros({2}, DType::i64, open_device("reference")));
     },
     {"cross_entropy", "(3)", "(2)"}},
    {"LossTargetsOfFloats",
     [] {
       cross_entropy(f32({3, 2}), f32({3}));
     },
     {"cross_entropy", "i64", "f32"}},
    {"ArgmaxOfNothing",
     [] {
       argmax(f32({3, 0}));
     },
     {"argmax", "(3,0)"}},
    {"PickOutside",
     [] {
       pick(f32({3, 2}), 6);
     },
     {"pick", "6", "(3,2)"}},
};

INSTANTIATE_TEST_SUITE_P(Ops, Refuses, ::testing::ValuesIn(kRefusals), [](const auto& which) { return which.param.name; });

TEST(Ops, RefuseATensorThatDoesNotExist) {
  EXPECT_THROW(add(f32({2}), Tensor()), Error);
  EXPECT_THROW(conv2d(Tensor(), f32({1, 1, 1, 1}), {}, {}), Error);
}

TEST(Ops, GiveTheSameTensorWhereThereIsNothingToDo) {
  const Tensor x = f32({2});
  EXPECT_TRUE(dropout(x, {.p = 0}).is_same_view(x));
  EXPECT_TRUE(cast(x, DType::f32).is_same_view(x));
}

TEST(Ops, FlattenInMemoryOrderWithoutMovingValues) {
  const Tensor x = from_host(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {1, 2, 2, 2}, open_device("reference"));
  const Tensor y = flatten(x);
  EXPECT_EQ(y.shape(), (Shape{1, 8}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7})) << "(H,W,C), not (C,H,W)";
  EXPECT_EQ(y.storage(), x.storage());
}

TEST(Ops, CastThereAndTheGradientBack) {
  Tensor x = from_host(std::vector<float>{1, 2049, 0.1f}, {3}, open_device("reference"));
  x.set_requires_grad();
  const Tensor y = cast(x, DType::f16);
  EXPECT_EQ(y.dtype(), DType::f16);
  EXPECT_EQ(y.to_doubles(), (std::vector<double>{1, 2048, static_cast<double>(static_cast<float>(Half(0.1f)))}));
  tape::backward(y, {.seed = from_host(std::vector<float>{1, 2, 0.5f}, {3}, open_device("reference")).to(DType::f16)});
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().to_doubles(), (std::vector<double>{1, 2, 0.5}));
}

TEST(Ops, GiveTheIndexOfTheLargest) {
  const Tensor x = from_host(std::vector<float>{1, 3, 2, 7, 7, 0}, {2, 3}, open_device("reference"));
  EXPECT_EQ(argmax(x).to_vector<int64_t>(), (std::vector<int64_t>{1, 0}));
}

}  // namespace
}  // namespace mirilla
