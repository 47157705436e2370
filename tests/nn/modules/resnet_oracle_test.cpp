// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "kernels/devices.h"
#include "nn/explain/grad_cam.h"
#include "tests/oracle/resnet_truth.h"

// The whole network against torchvision's in float64, and that watching changes nothing. tests/oracle/make_resnet.py says where the values
// come from; docs/decisions/003 why f32 holds them.
namespace mirilla::nn {
namespace {

struct Case {
  const char* device;
  DType dtype;
  double tolerance;  // of each tensor's norm
};

class ResNetOracle : public testing::TestWithParam<Case> {
 protected:
  ResNetOracle() { truth_.fill(model_); }

  Tensor pictures() { return truth_.pictures(device_, GetParam().dtype); }
  void expect_forward(const std::string& mode, const Tensor& logits, const std::vector<Watch>& layers) {
    EXPECT_LE(truth_.of_values(mode + ".logits", logits), GetParam().tolerance);
    EXPECT_LE(truth_.of_values(mode + ".loss", truth_.loss_of(logits)), GetParam().tolerance);
    for (const Watch& layer : layers)
      EXPECT_LE(truth_.of_tensor(mode, layer.name(), layer.activation()), GetParam().tolerance) << layer.name();
  }
  std::vector<Watch> watch_layers() {
    std::vector<Watch> layers;
    for (const char* name : {"layer1", "layer2", "layer3", "layer4"}) layers.push_back(model_.watch(name));
    return layers;
  }

  test::ResNetTruth truth_;
  Device& device_ = open_device(GetParam().device);
  ResNet model_{{.classes = 6}, {.device = device_, .dtype = GetParam().dtype}};
};

INSTANTIATE_TEST_SUITE_P(Devices, ResNetOracle, testing::Values(Case{"reference", DType::f64, 1e-11}, Case{"cpu", DType::f32, 1e-5}),
                         [](const auto& tested) {
                           return std::string(tested.param.device) + "_" + std::string(name_of(tested.param.dtype));
                         });

TEST_P(ResNetOracle, TrainsAsTorchvisions) {
  const std::vector<Watch> layers = watch_layers();
  const Tensor logits = model_(pictures());
  tape::backward(truth_.loss_of(logits));
  expect_forward("train", logits, layers);
  for (const NamedTensor& named : model_.parameters())
    EXPECT_LE(truth_.of_tensor("train", named.name, named.tensor.grad()), GetParam().tolerance) << named.name;
  for (const NamedTensor& named : model_.buffers())
    EXPECT_LE(truth_.of_tensor("train", named.name, named.tensor), GetParam().tolerance) << named.name;
}

TEST_P(ResNetOracle, EvaluatesAsTorchvisionsWatchedAndUnwatched) {
  model_.evaluate();
  const tape::NoGrad no_grad;
  expect_forward("eval", model_(pictures()), {});  // batch norms folded
  const std::vector<Watch> layers = watch_layers();
  expect_forward("eval", model_(pictures()), layers);
}

TEST_P(ResNetOracle, ExplainsAsTorchvisionsGradients) {
  constexpr double kMapsAreF32 = 1e-6;
  const Tensor all = pictures();
  const std::vector<std::string> layers{"layer4", "layer3"};
  std::vector<std::vector<double>> maps(layers.size());
  for (int64_t i = 0; i < test::ResNetTruth::kPictures; ++i) {
    const auto target = static_cast<int>(truth_.targets()[static_cast<size_t>(i)]);
    const GradCam cam = grad_cam(model_, all.slice(i, i + 1), layers, target, CamStyle::course);
    for (size_t l = 0; l < layers.size(); ++l) maps[l].insert(maps[l].end(), cam.maps[l].values.begin(), cam.maps[l].values.end());
  }
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto n = static_cast<int64_t>(maps[l].size());
    EXPECT_LE(truth_.of_values("eval.cam." + layers[l], from_host(maps[l], {n}, open_device("reference"))),
              std::max(kMapsAreF32, GetParam().tolerance))
        << layers[l];
  }
}

}  // namespace
}  // namespace mirilla::nn
