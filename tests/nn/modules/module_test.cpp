// SPDX-License-Identifier: MIT
#include "nn/modules/module.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "kernels/devices.h"
#include "nn/explain/grad_cam.h"
#include "nn/modules/resnet.h"

namespace mirilla::nn {
namespace {

constexpr int kSide = 64;

Tensor noise(int64_t n, uint32_t item = 0) {
  std::vector<float> values;
  const RandomKey key{.seed = 4, .purpose = Purpose::kTest, .item = item};
  for (uint32_t i = 0; i < static_cast<uint32_t>(n * kSide * kSide * 3); ++i) values.push_back(2 * to_unit(key.bits(i)) - 1);
  return from_host(values, {n, kSide, kSide, 3}, open_device("cpu"));
}

// A network whose batch norms have nontrivial statistics, so that folding them changes values.
class WatchedResNet : public testing::Test {
 protected:
  void SetUp() override {
    const tape::NoGrad no_grad;
    model_(noise(4, 1));
    model_.evaluate();
  }
  ResNet model_{{.classes = 3, .seed = 2}, {.device = open_device("cpu")}};
  const Tensor picture_ = noise(1);
};

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_doubles(), y = b.to_doubles();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

double largest(const Tensor& x) { return largest_difference(x, zeros(x.shape(), x.dtype(), x.device())); }

TEST_F(WatchedResNet, GivesActivationAndGradientOfAnyModule) {
  const Watch layer4 = model_.watch("layer4"), norm = model_.watch("layer3.1.bn2"), head = model_.watch("head.4");
  const Tensor logits = model_(picture_);
  tape::backward(pick(logits, 1));
  for (const Watch* watch : {&layer4, &norm, &head}) {
    EXPECT_EQ(watch->calls(), 1u) << watch->name();
    EXPECT_EQ(watch->gradient().shape(), watch->activation().shape());
    EXPECT_GT(largest(watch->gradient()), 0) << watch->name();
  }
  EXPECT_EQ(layer4.activation().shape(), (Shape{1, 2, 2, 512}));
}

TEST_F(WatchedResNet, TheGradientIsTheSlopeOfTheLogit) {
  // Moving layer4's output along its gradient changes the logit as the gradient predicts.
  const Watch layer4 = model_.watch("layer4");
  const Tensor logits = model_(picture_);
  tape::backward(pick(logits, 2));
  constexpr double kStep = 1e-2;
  const std::vector<float> gradient = layer4.gradient().to_vector<float>(), activation = layer4.activation().to_vector<float>();
  double slope = 0;
  for (const float g : gradient) slope += static_cast<double>(g) * g;
  const auto logit_at = [&](double step) {
    std::vector<float> moved(activation);
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(step / std::sqrt(slope)) * gradient[i];
    const tape::NoGrad no_grad;
    return model_.at("head")(from_host(moved, layer4.activation().shape(), open_device("cpu"))).to_doubles()[2];
  };
  const double measured = (logit_at(kStep) - logit_at(-kStep)) / (2 * kStep);
  EXPECT_NEAR(measured, std::sqrt(slope), 0.05 * std::sqrt(slope));
}

TEST_F(WatchedResNet, FrozenParametersAndNoGradDoNotMatter) {
  for (NamedTensor parameter : model_.parameters()) parameter.tensor.set_requires_grad(false);
  const tape::NoGrad no_grad;
  const Watch layer3 = model_.watch("layer3");
  const Tensor logits = model_(picture_);
  tape::backward(pick(logits, 0));
  EXPECT_GT(largest(layer3.gradient()), 0);
}

TEST_F(WatchedResNet, BackwardToAWatchedModuleComputesNoParametersGradient) {
  const Watch layer4 = model_.watch("layer4");
  const Tensor logits = model_(picture_);
  tape::backward(pick(logits, 0), {.targets = {layer4.activation()}});
  for (const NamedTensor& parameter : model_.parameters()) EXPECT_FALSE(parameter.tensor.grad()) << parameter.name;
}

TEST_F(WatchedResNet, AModuleThatRunsTwiceIsSeenTwice) {
  const Watch relu = model_.watch("layer2.0.relu");
  const Tensor logits = model_(picture_);
  tape::backward(pick(logits, 0));
  ASSERT_EQ(relu.calls(), 2u);
  EXPECT_GT(largest_difference(relu.activation(0), relu.activation(1)), 0);
  EXPECT_GT(largest_difference(relu.gradient(0), relu.gradient(1)), 0);
  model_(picture_);
  EXPECT_EQ(relu.calls(), 2u) << "a new pass begins anew";
}

TEST_F(WatchedResNet, WatchingChangesNoBitInTraining) {
  model_.train();
  model_.begin_step(1, 1);
  const std::vector<float> alone = model_(noise(2)).to_vector<float>();
  std::vector<Watch> watches;
  for (const auto& [name, module] : model_.modules()) watches.push_back(model_.watch(name));
  model_.begin_step(1, 1);
  EXPECT_EQ(model_(noise(2)).to_vector<float>(), alone);
  for (const Watch& watch : watches) EXPECT_GT(watch.calls(), 0u) << watch.name() << " ran unseen";
}

TEST_F(WatchedResNet, FoldingABatchNormMovesLogitsByRoundingAlone) {
  const Tensor apart = model_(picture_);  // nothing can be folded where the gradients of the parameters are wanted
  const tape::NoGrad no_grad;
  const Tensor folded = model_(picture_);
  EXPECT_NE(folded.to_doubles(), apart.to_doubles());
  EXPECT_LT(largest_difference(folded, apart), 1e-5 * largest(apart));
  EXPECT_GT(largest(apart), 0.01);
}

TEST_F(WatchedResNet, AFoldedNormFollowsItsParameters) {
  const tape::NoGrad no_grad;
  const Tensor before = model_(picture_);
  model_.at("layer1.0.bn1").own_parameters()[0].tensor.fill(2);
  EXPECT_GT(largest_difference(before, model_(picture_)), 1e-4);
}

TEST_F(WatchedResNet, MemoryIsFreedWithTheHandle) {
  const tape::NoGrad no_grad;
  const auto watched_pass = [&] {
    const Watch layer1 = model_.watch("layer1");
    model_(picture_);
  };
  watched_pass();  // norms that are not folded keep 1 / sqrt(var + eps) from now on, as long as var does not change
  const Allocator& allocator = Allocator::of(open_device("cpu"));
  const size_t before = allocator.statistics().current;
  {
    const Watch layer1 = model_.watch("layer1");
    model_(picture_);
    EXPECT_GT(allocator.statistics().current, before);
    EXPECT_TRUE(model_.any_watched());
  }
  EXPECT_EQ(allocator.statistics().current, before);
  EXPECT_FALSE(model_.any_watched());
}

TEST_F(WatchedResNet, AnExceptionInTheMiddleLeavesTheNextPassWhole) {
  const Watch conv1 = model_.watch("conv1");
  EXPECT_THROW(model_(from_host(std::vector<float>(4 * 4 * 5), {1, 4, 4, 5}, open_device("cpu"))), ShapeError);
  EXPECT_EQ(conv1.calls(), 0u);
  EXPECT_THROW(conv1.activation(), Error);
  model_(picture_);
  EXPECT_EQ(conv1.calls(), 1u);
  EXPECT_THROW(conv1.gradient(), Error) << "no backward ran";
}

TEST_F(WatchedResNet, NamesOfFastaiAndTorchvisionMeanTheSameModule) {
  EXPECT_EQ(model_.resolve("model[0]"), "layer4");
  EXPECT_EQ(model_.resolve("model[0][-2]"), "layer3");
  EXPECT_EQ(model_.resolve("model[0][-1][1].bn2"), "layer4.1.bn2");
  EXPECT_EQ(model_.resolve("0.4.0.conv1"), "layer1.0.conv1");
  EXPECT_EQ(model_.resolve("1.8"), "head.8");
  EXPECT_EQ(model_.resolve("layer2.0.downsample.1"), "layer2.0.downsample.1");
  for (const char* name : {"", "layer5", "model[0][8]", "model[0][-9]", "0.x", "layer1.7", "model"})
    EXPECT_THROW(model_.resolve(name), UsageError) << name;
  EXPECT_THROW(model_.watch("layer1.9"), Error);
}

TEST_F(WatchedResNet, GradCamIsTheMeanGradientTimesTheActivation) {
  const GradCam cam = grad_cam(model_, picture_, {"model[0]", "layer3"}, 1, CamStyle::course);
  const Watch layer3 = model_.watch("layer3");
  tape::backward(pick(model_(picture_), 1));
  const std::vector<double> a = layer3.activation().to_doubles(), g = layer3.gradient().to_doubles();
  constexpr size_t kPlaces = 16, kChannels = 256;
  std::vector<double> weights(kChannels, 0);
  for (size_t i = 0; i < g.size(); ++i) weights[i % kChannels] += g[i] / kPlaces;
  ASSERT_EQ(cam.maps[1].values.size(), kPlaces);
  double size = 0;
  for (const float value : cam.maps[1].values) size = std::max(size, std::abs(static_cast<double>(value)));
  for (size_t place = 0; place < kPlaces; ++place) {
    double wanted = 0;
    for (size_t c = 0; c < kChannels; ++c) wanted += weights[c] * a[place * kChannels + c];
    EXPECT_NEAR(cam.maps[1].values[place], wanted, 1e-5 * size);
  }
  EXPECT_FALSE(model_.training());
  EXPECT_THROW(grad_cam(model_, picture_, {"head.8"}, 0, CamStyle::course), Error);
  EXPECT_THROW(grad_cam(model_, picture_, {"layer4"}, 3, CamStyle::course), UsageError);
}

}  // namespace
}  // namespace mirilla::nn
