// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/explain/explain_files.h"
#include "tests/oracle/resnet_truth.h"

// ResNet50, 101 and 152 against torchvision's in float64: tests/oracle/make_bottleneck.py says what the file holds.
namespace mirilla::nn {
namespace {

constexpr double kTolerance = 1e-8;  // of a tensor's norm

class BottleneckOracle : public testing::Test {
 protected:
  std::unique_ptr<ResNet> model_of(const std::string& arch) {
    auto model = std::make_unique<ResNet>(ResNetSpec{.arch = arch, .classes = 6, .head = Head::torchvision, .seed = std::nullopt},
                                          Placement{.device = device_, .dtype = DType::f64});
    test::fill_by_name(*model);
    return model;
  }
  Tensor pictures(int64_t n) { return test::ResNetTruth().pictures(device_, DType::f64).slice(0, n); }

  // Relative to the truth's norm.
  double apart(const std::string& name, std::span<const double> came) const {
    const std::span<const double> wanted = oracle_.at(name).values<double>();
    if (wanted.size() != came.size()) return NAN;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      difference += (came[i] - wanted[i]) * (came[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
    return std::sqrt(difference / norm);
  }
  double apart_by_projections(const std::string& name, const Tensor& came) const {
    const double norm = oracle_.at("resnet50.train.norm." + name).values<double>()[0];
    return test::distance(name, came.to_doubles(), oracle_.at("resnet50.train.projections." + name).values<double>()) / norm;
  }

  void expect_evaluation(const std::string& arch) {
    const std::unique_ptr<ResNet> network = model_of(arch);
    ResNet& model = *network;
    const Tensor picture = pictures(1);
    // Maps are stored in f32, so they differ by a rounding; their inputs are compared more closely below.
    const GradCam cam = grad_cam(model, picture, {"layer4", "layer3"}, 1, CamStyle::course);
    EXPECT_LE(apart(arch + ".eval.logits", cam.logits), kTolerance);
    for (const CamMap& map : cam.maps) {
      const std::vector<double> values(map.values.begin(), map.values.end());
      EXPECT_LE(apart(arch + ".eval.cam." + map.layer, values), 1e-7) << map.layer;
    }
    const EvaluationMode mode(model);
    const Watch layer4 = model.watch("layer4"), layer3 = model.watch("layer3");
    const tape::NoGrad no_grad;
    const Tensor logits = model(picture);
    tape::backward(pick(logits, 1), {.targets = {layer4.activation(), layer3.activation()}});
    for (const Watch* layer : {&layer4, &layer3})
      EXPECT_LE(apart(arch + ".eval.cam." + layer->name(), grad_cam_layer(layer->activation(), layer->gradient()).maps.to_doubles()),
                kTolerance)
          << layer->name();
  }

  Device& device_ = open_device("reference");
  weights::StateDict oracle_ = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/nn/bottleneck.safetensors");
};

TEST_F(BottleneckOracle, ResNet50EvaluatesAndExplainsAsTorchvisions) { expect_evaluation("resnet50"); }
TEST_F(BottleneckOracle, ResNet101EvaluatesAndExplainsAsTorchvisions) { expect_evaluation("resnet101"); }
TEST_F(BottleneckOracle, ResNet152EvaluatesAndExplainsAsTorchvisions) { expect_evaluation("resnet152"); }

TEST_F(BottleneckOracle, ResNet50TrainsAsTorchvisions) {
  const std::unique_ptr<ResNet> network = model_of("resnet50");
  ResNet& model = *network;
  model.train();
  const Tensor logits = model(pictures(4));
  const Tensor loss = cross_entropy(logits, from_host(std::vector<int64_t>{0, 1, 2, 3}, {4}, device_)).loss;
  tape::backward(loss);
  EXPECT_LE(apart("resnet50.train.logits", logits.to_doubles()), kTolerance);
  EXPECT_LE(apart("resnet50.train.loss", loss.to_doubles()), kTolerance);
  for (const NamedTensor& named : model.parameters())
    EXPECT_LE(apart_by_projections(named.name, named.tensor.grad()), kTolerance) << named.name;
  for (const NamedTensor& named : model.buffers()) {
    if (!is_float(named.tensor.dtype())) continue;
    EXPECT_LE(apart_by_projections(named.name, named.tensor), kTolerance) << named.name;
  }
}

TEST(Bottleneck, IsCountedByTheFilm) {
  ResNet model({.arch = "resnet50", .classes = 2}, {.device = open_device("cpu")});
  EXPECT_EQ(model.at("layer4.2").kind(), "Bottleneck");
  EXPECT_EQ(film_layers(model), (std::vector<std::string>{"relu", "maxpool", "layer1.0", "layer1.1", "layer1", "layer2.0", "layer2.1",
                                                          "layer2.2", "layer2", "layer3.0", "layer3.1", "layer3.2", "layer3.3", "layer3.4",
                                                          "layer3", "layer4.0", "layer4.1", "layer4"}));
}

TEST(Architecture, IsOneOfFive) {
  EXPECT_EQ(architectures().size(), 5u);
  EXPECT_THROW(architecture_of("resnet19"), UsageError);
}

}  // namespace
}  // namespace mirilla::nn
