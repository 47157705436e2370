// SPDX-License-Identifier: MIT
// Which module runs, for the profiler and the check mode, and the message when memory runs out.
#include "engine/running.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/amp/grad_scaler.h"
#include "engine/ops/add.h"
#include "engine/ops/cross_entropy.h"
#include "kernels/devices.h"
#include "nn/modules/layers.h"
#include "nn/modules/resnet.h"
#include "nn/run/replay.h"
#include "nn/train/batch_hint.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/small_device.h"

namespace mirilla::nn {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Never destroyed: its allocator lives as long as the program, like that of every device.
SmallDevice& small() {
  static SmallDevice& device = *std::make_unique<SmallDevice>().release();
  return device;
}

Tensor pictures(Device& device, int64_t n = 1) {
  std::vector<float> values;
  for (int64_t i = 0; i < n * 32 * 32 * 3; ++i) values.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(i))));
  return from_host(values, {n, 32, 32, 3}, device);
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

void poison(const Tensor& tensor, double value) {
  std::vector<double> values = tensor.to_doubles();
  values[values.size() / 2] = value;
  Tensor(tensor).copy_from(from_doubles(values, tensor.shape(), tensor.dtype(), tensor.device()));
}

Tensor weight_of(ResNet& model, std::string_view module) { return model.at(module).own_parameters().front().tensor; }

// --- Ranges ----------------------------------------------------------------------------------------------------------------------------

class Ranges : public testing::Test {
 protected:
  void SetUp() override {
    small().ranges.clear();
    small().profiled = true;
  }
  void TearDown() override { small().profiled = false; }
};

TEST_F(Ranges, NameEachModuleThatRunsInside) {
  ResNet model({.classes = 3, .seed = 1}, {.device = small()});
  const tape::NoGrad no_grad;
  model(pictures(small(), 2));
  const std::vector<std::string>& ranges = small().ranges;
  ASSERT_FALSE(ranges.empty());
  EXPECT_EQ(ranges[0], "ResNet");
  EXPECT_EQ(ranges[1], " conv1");
  EXPECT_EQ(ranges[2], " bn1") << "which runs with the ReLU in one operation";
  EXPECT_THAT(ranges, Contains("   layer2.0.conv2"));
  EXPECT_THAT(ranges, Contains("    layer2.0.downsample.0"));
  EXPECT_EQ(small().open(), 0u);
}

TEST_F(Ranges, NameTheModuleOfEachBackward) {
  ResNet model({.classes = 3, .seed = 1}, {.device = small()});
  const Tensor logits = model(pictures(small(), 2));
  small().ranges.clear();
  tape::backward(logits, {.seed = full(logits.shape(), 1, DType::f32, small())});
  EXPECT_THAT(small().ranges, Contains("the backward of conv2d in layer3.1.conv1"));
  EXPECT_EQ(small().open(), 0u);
}

TEST_F(Ranges, EndWhereTheModuleFails) {
  ResNet model({.classes = 3, .seed = 1}, {.device = small()});
  EXPECT_THROW(model(full({1, 32, 32, 5}, 0, DType::f32, small())), Error);
  EXPECT_EQ(small().open(), 0u);
}

TEST_F(Ranges, AreNotMadeWithoutAProfiler) {
  small().profiled = false;
  Linear linear(4, 2, true, {.device = small()});
  linear(full({3, 4}, 1, DType::f32, small()));
  EXPECT_TRUE(small().ranges.empty());
}

TEST(ModulePaths, AreThoseOfModules) {
  ResNet model({.classes = 3}, {.device = open_device("cpu")});
  for (const auto& [path, module] : model.modules()) EXPECT_EQ(module->path(), path);
}

// --- Check mode ------------------------------------------------------------------------------------------------------------------------

class CheckMode : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { running::set_checking(true); }
  void TearDown() override { running::set_checking(false); }

  Device& device_ = open_device(GetParam());
};

TEST_P(CheckMode, NamesTheModuleThatWroteTheFirstNaN) {
  ResNet model({.classes = 3, .seed = 1}, {.device = device_});
  const Tensor x = pictures(device_);
  poison(weight_of(model, "layer2.0.conv2"), kNaN);
  model.evaluate();
  for (const bool training : {false, true}) {
    const tape::NoGrad no_grad;  // where evaluation would fold the norm into the convolution, and a ReLU after it might hide a NaN
    model.train(training);
    const std::string message = error_of([&] { model(x); });
    EXPECT_THAT(message, testing::StartsWith("layer2.0.conv2 wrote the first NaN (forward): element (0,"));
    EXPECT_THAT(message, HasSubstr(") of f32 (1,4,4,128) on " + GetParam()));
    EXPECT_THAT(message, HasSubstr("\n  hint: its weight is not finite itself"));
  }
  EXPECT_EQ(running::name(), nullptr) << "an error left a module running";
}

TEST_P(CheckMode, NamesTheNormThatRunsInsideAFusedOperation) {
  ResNet model({.classes = 3, .seed = 1}, {.device = device_});
  poison(weight_of(model, "layer1.0.bn1"), std::numeric_limits<double>::infinity());
  const std::string message = error_of([&] { model(pictures(device_)); });
  EXPECT_THAT(message, testing::StartsWith("layer1.0.bn1 wrote the first "));
  EXPECT_THAT(message, HasSubstr("its weight is not finite itself"));
}

TEST_P(CheckMode, TellsANetworksInputFromItsWork) {
  ResNet model({.classes = 3, .seed = 1}, {.device = device_});
  const Tensor x = pictures(device_);
  poison(x, kNaN);
  EXPECT_THAT(error_of([&] { model(x); }), testing::StartsWith("the input of ResNet holds the first NaN: element (0,16,0,0) of"));
}

// y = x; the gradient is not finite.
class Spoiler final : public Module {
 public:
  std::string_view kind() const override { return "Spoiler"; }

 protected:
  Tensor forward(const Tensor& x) override {
    return tape::record("spoil", {x}, x.clone(), [](const Tensor& dy) {
      return tape::Gradients{full(dy.shape(), std::numeric_limits<double>::infinity(), dy.dtype(), dy.device())};
    });
  }
};

TEST_P(CheckMode, NamesTheBackwardThatWroteTheFirstInfinity) {
  Sequential model;
  model.append(std::make_unique<Linear>(4, 4, false, Placement{.device = device_}));
  model.append(std::make_unique<Spoiler>());
  model.append(std::make_unique<Linear>(4, 1, false, Placement{.device = device_}));
  const Tensor y = model(full({1, 4}, 1, DType::f32, device_));
  const std::string message = error_of([&] { tape::backward(y, {.seed = full({1, 1}, 1, DType::f32, device_)}); });
  EXPECT_THAT(message,
              testing::StartsWith("the backward of spoil in 1 wrote the first infinity, in the gradient of its input 1: element (0,0)"));
  EXPECT_EQ(running::name(), nullptr);
}

TEST_P(CheckMode, NamesALayerWhoseGradientOverflows) {
  Sequential model;
  model.append(std::make_unique<Linear>(4, 4, false, Placement{.device = device_}));
  model.append(std::make_unique<Linear>(4, 1, false, Placement{.device = device_}));
  for (NamedTensor& parameter : model.parameters()) parameter.tensor.fill(1e20);
  const Tensor y = model(full({1, 4}, 1e-20, DType::f32, device_));
  const std::string message = error_of([&] { tape::backward(y, {.seed = full({1, 1}, 1e25, DType::f32, device_)}); });
  EXPECT_THAT(message, testing::StartsWith("the backward of linear in 1 wrote the first infinity, in the gradient of its input 1"));
}

TEST_P(CheckMode, TellsWhatTheLossGaveFromWhatABackwardWrote) {
  Linear linear(4, 1, false, {.device = device_});
  const Tensor y = linear(full({1, 4}, 1, DType::f32, device_));
  EXPECT_THAT(error_of([&] {
                tape::backward(y, {.seed = full({1, 1}, kNaN, DType::f32, device_)});
              }),
              testing::StartsWith("the backward of linear in Linear was given the first NaN, by the loss"));
}

TEST_P(CheckMode, LeavesOverflowUnderAScaleToTheScaler) {
  for (const double scale : {0x1p16, 1.0}) {
    Sequential model;
    model.append(std::make_unique<Linear>(4, 4, false, Placement{.device = device_}));
    model.append(std::make_unique<Spoiler>());
    const Tensor y = model(full({1, 4}, 1, DType::f32, device_));
    const amp::GradScaler scaler(device_, {.initial = scale});
    const std::string message = error_of([&] {
      tape::backward(y, {.seed = full({1, 4}, 1, DType::f32, device_), .factor = scaler.factor()});
    });
    if (scale > 1) {
      EXPECT_EQ(message, "") << "the scaler leaves such a step out by itself";
    } else {
      EXPECT_THAT(message, HasSubstr("the backward of spoil in 1 wrote the first infinity")) << "no scale is to blame any more";
    }
  }
}

TEST_P(CheckMode, ChangesNoNumber) {
  Sequential model;
  model.append(std::make_unique<Linear>(8, 4, true, Placement{.device = device_}));
  model.append(std::make_unique<ReLU>());
  initialise(model, 3);
  const Tensor x = full({2, 8}, 0.5, DType::f32, device_);
  const std::vector<double> checked = model(x).to_doubles();
  running::set_checking(false);
  EXPECT_EQ(model(x).to_doubles(), checked);
}

TEST_P(CheckMode, ReplaysNothing) {
  if (!device_.can_replay()) return;
  EXPECT_FALSE(replays(ReplayMode::on, device_)) << "a replay cannot be looked at";
  running::set_checking(false);
  EXPECT_TRUE(replays(ReplayMode::on, device_));
}

TEST_P(CheckMode, IsOffUnlessAskedFor) {
  running::set_checking(false);
  Linear linear(4, 1, false, {.device = device_});
  EXPECT_EQ(error_of([&] { linear(full({1, 4}, kNaN, DType::f32, device_)); }), "");
}

INSTANTIATE_TEST_SUITE_P(Here, CheckMode, testing::Values("cpu", kernel_device()), [](const auto& which) { return which.param; });

// --- Memory ----------------------------------------------------------------------------------------------------------------------------

TEST(SmallMemory, NamesABatchToTryAndIsLeftAsItWas) {
  SmallDevice& device = small();
  Allocator& allocator = Allocator::of(device);
  ResNet model({.classes = 3, .seed = 1}, {.device = device});
  const auto run = [&](int64_t batch) {
    with_batch_hint(batch, [&] {
      const Tensor logits = model(pictures(device, batch));
      tape::backward(logits, {.seed = full(logits.shape(), 1, DType::f32, device)});
    });
    for (const NamedTensor& parameter : model.parameters()) Tensor(parameter.tensor).clear_grad();
  };
  run(4);
  allocator.trim();
  device.capacity = allocator.statistics().current + (size_t{56} << 20);
  const std::string message = error_of([&] { run(64); });
  EXPECT_EQ(error_of([&] { run(4); }), "") << "what failed holds memory still";
  device.capacity = size_t{1} << 40;
  EXPECT_THAT(message, testing::MatchesRegex("the device 'small' has no [0-9]+ bytes left: [0-9]+ are held and [0-9]+ of [0-9]+ are "
                                             "free\n  hint: `batch_size` 32 needs about half the memory, and smaller pictures.*"));
  EXPECT_EQ(batch_hint(1), "use smaller pictures: `size`");
}

}  // namespace
}  // namespace mirilla::nn
