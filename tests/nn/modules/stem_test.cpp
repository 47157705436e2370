// SPDX-License-Identifier: MIT
// The first part of a ResNet in training: norm, ReLU and pool as one operation, unless somebody watches what it hides.
#include <gtest/gtest.h>

#include <map>

#include "engine/amp/autocast.h"
#include "engine/amp/precision.h"
#include "engine/running.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "kernels/ledger.h"
#include "nn/modules/resnet.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/modules/capture_network.h"

namespace mirilla::nn::stems {
namespace {

/// A stem alone.
class Stem final : public Module {
 public:
  explicit Stem(Placement placement)
      : conv1_(add("conv1", std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 16, .kernel = 7, .conv = {.stride = 2, .padding = 3}},
                                                     placement))),
        bn1_(add("bn1", std::make_unique<BatchNorm2d>(16, placement))),
        relu_(add("relu", std::make_unique<ReLU>())),
        maxpool_(add("maxpool", std::make_unique<MaxPool2d>(Pool2dSpec{.window = 3, .stride = 2, .padding = 1}))) {
    initialise(*this, 7);
    for (NamedTensor& parameter : parameters()) parameter.tensor.set_requires_grad();
  }
  std::string_view kind() const override { return "Stem"; }

 protected:
  Tensor forward(const Tensor& x) override { return run_conv_norm_pool(conv1_, bn1_, relu_, maxpool_, x); }

 private:
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  ReLU& relu_;
  MaxPool2d& maxpool_;
};

constexpr int64_t kPictureSide = 18;

class StemOn : public ::testing::TestWithParam<std::string> {
 protected:
  // The result, the running statistics and all gradients of a pass, and the operations that ran.
  std::map<std::string, std::vector<double>> pass(const std::vector<std::string>& watched, amp::Precision precision, bool training = true) {
    Device& device = open_device(GetParam());
    Stem stem({device});
    stem.train(training);
    const std::vector<Watch> watches = stem.watch_all(watched);
    const amp::Autocast autocast(amp::dtype_of(precision));
    const Tensor y = stem(noise(2, amp::dtype_of(precision), device, kPictureSide));
    std::vector<double> seed;
    for (const double v : noise(2, DType::f32, device, kPictureSide).to_doubles()) seed.push_back(v);
    seed.resize(static_cast<size_t>(y.numel()), 0.25);
    tape::backward(y, {.seed = from_doubles(seed, y.shape(), y.dtype(), device)});
    std::map<std::string, std::vector<double>> all{{"y", y.to_doubles()}};
    for (const NamedTensor& parameter : stem.parameters()) all[parameter.name] = parameter.tensor.grad().to_doubles();
    for (const NamedTensor& buffer : stem.buffers()) all[buffer.name] = buffer.tensor.to_doubles();
    for (const Watch& watch : watches) {
      EXPECT_EQ(watch.calls(), 1u) << watch.name();
      EXPECT_EQ(watch.activation().shape(), watch.gradient().shape());
    }
    return all;
  }
};

TEST_P(StemOn, HasTheSameBitsWhicheverModuleIsWatched) {
  for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::fp16})
    for (const bool training : {true, false}) {
      const auto want = pass({}, precision, training);
      for (const char* const watched : {"bn1", "relu", "maxpool", "conv1"})
        EXPECT_EQ(pass({watched}, precision, training), want) << watched;
      EXPECT_EQ(pass({"bn1", "relu", "maxpool"}, precision, training), want);
    }
}

TEST_P(StemOn, HasTheSameBitsInTheCheckMode) {
  const auto want = pass({}, amp::Precision::fp32);
  running::set_checking(true);
  const auto checked = pass({}, amp::Precision::fp32);
  running::set_checking(false);
  EXPECT_EQ(checked, want);
}

INSTANTIATE_TEST_SUITE_P(Here, StemOn, ::testing::ValuesIn(device_names()), [](const auto& i) { return i.param; });

// What runs on a GPU: the pass between norm and pool, and that between their gradients, only where one of them is watched.
TEST(Stem, RunsNormAndPoolInOnePassUnlessOneIsWatched) {
  const auto operations = [](const std::vector<std::string>& watched) {
    LedgerDevice& ledger = new_ledger_device({.name = "GPU"});
    Stem stem({ledger});
    const std::vector<Watch> watches = stem.watch_all(watched);
    ledger.take();
    const Tensor y = stem(noise(2, DType::f32, ledger, kPictureSide));
    tape::backward(y, {.seed = zeros(y.shape(), y.dtype(), ledger)});
    std::map<std::string, int> count;
    for (const LedgerCall& call : ledger.take().calls) ++count[call.operation];
    return count;
  };
  auto fused = operations({}), watched = operations({"relu"});
  EXPECT_EQ(fused["batch_norm_relu_max_pool2d"], 1);
  EXPECT_EQ(fused["batch_norm_apply"] + fused["max_pool2d"] + fused["max_pool2d_backward"], 0);
  EXPECT_EQ(fused["batch_norm_backward"], 1);
  EXPECT_EQ(watched["batch_norm_relu_max_pool2d"], 0);
  EXPECT_EQ(watched["max_pool2d_backward"], 1);
  EXPECT_EQ(operations({"conv1"})["batch_norm_relu_max_pool2d"], 1) << "the convolution's output is its own anyway";
}

}  // namespace
}  // namespace mirilla::nn::stems
