// SPDX-License-Identifier: MIT
// The known problems of hooks that need a whole ResNet18 or a training run, each by name, and the cost of Grad-CAM; the others are in
// capture_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/amp/autocast.h"
#include "engine/amp/grad_scaler.h"
#include "engine/ops/cast.h"
#include "engine/ops/reductions.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/explain/grad_cam.h"
#include "nn/run/evaluate.h"
#include "nn/train/learner.h"
#include "tests/nn/modules/capture_network.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr int kClasses = 4;

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

double distance(const std::vector<double>& came, const std::vector<double>& wanted) {
  double norm = 0, apart = 0;
  for (size_t i = 0; i < wanted.size(); ++i) norm += wanted[i] * wanted[i], apart += (came.at(i) - wanted[i]) * (came[i] - wanted[i]);
  return std::sqrt(apart / norm);
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

class CapturedResNet : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = new ResNet({.classes = kClasses, .head = Head::torchvision, .seed = 2}, {.device = open_device("cpu")});
    model_->evaluate();
  }
  static void TearDownTestSuite() { delete model_; }
  static ResNet& model() { return *model_; }
  static void set_last_layer(double value) {
    for (const NamedTensor& parameter : model().at("fc").own_parameters()) Tensor(parameter.tensor).fill(value);
  }
  Device& device_ = open_device("cpu");
  const Tensor picture_ = noise(1, DType::f32, device_, 64);

 private:
  static inline ResNet* model_ = nullptr;
};

TEST_F(CapturedResNet, AllNegativeMap) {
  // layer4 ends in a ReLU, so with weight -1 for every channel all features count against every class.
  set_last_layer(-1);
  const CamMap paper = grad_cam(model(), picture_, {"layer4"}, 1, CamStyle::paper).maps[0];
  EXPECT_EQ(paper.values, std::vector<float>(4, 0));
  EXPECT_NE(paper.note.find("negative everywhere"), std::string::npos) << paper.note;
  const CamMap course = grad_cam(model(), picture_, {"layer4"}, 1, CamStyle::course).maps[0];
  EXPECT_LT(*std::max_element(course.values.begin(), course.values.end()), 0);
  EXPECT_EQ(course.note, "") << "signed values are what that style shows";
  const data::Picture grey(64, 64);
  EXPECT_EQ(overlay(grey, paper, CamStyle::paper).pixels.size(), grey.pixels.size()) << "and it can be drawn";

  set_last_layer(0);
  for (const CamStyle style : {CamStyle::paper, CamStyle::course}) {
    const CamMap nothing = grad_cam(model(), picture_, {"layer4"}, 1, style).maps[0];
    EXPECT_EQ(nothing.values, std::vector<float>(4, 0));
    EXPECT_NE(nothing.note.find("zero everywhere"), std::string::npos) << nothing.note;
  }
  set_last_layer(1);
  EXPECT_EQ(grad_cam(model(), picture_, {"layer4"}, 1, CamStyle::paper).maps[0].note, "");
}

TEST_F(CapturedResNet, LayerOfOneByOne) {
  const Tensor small = noise(1, DType::f32, device_, 32);  // layer4 has one position left, and avgpool always has one
  for (const auto& [picture, layer] : {std::pair{small, "layer4"}, std::pair{picture_, "avgpool"}, std::pair{picture_, "fc"}}) try {
      grad_cam(model(), picture, {"layer3", layer}, 0, CamStyle::course);
      FAIL() << layer;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(layer), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("places"), std::string::npos) << error.what();
    }
  EXPECT_FALSE(model().any_watched());
  const Watch layer4 = model().watch("layer4");  // watching it is not an error
  tape::backward(pick(model()(small), 0));
  EXPECT_EQ(layer4.gradient().shape(), (Shape{1, 1, 1, 512}));
}

TEST_F(CapturedResNet, GradCamAtLayer4AllocatesHardlyMoreThanTheForwardPassAlone) {
  const Tensor picture = noise(1, DType::f32, device_, 128);
  set_last_layer(1);
  const auto bytes_of = [&](const std::function<void()>& work) {
    work();  // folds the norms
    const uint64_t before = Allocator::of(device_).statistics().total;
    work();
    return static_cast<double>(Allocator::of(device_).statistics().total - before);
  };
  const double alone = bytes_of([&] {
    const tape::NoGrad no_grad;
    model()(picture);
  });
  const double explained = bytes_of([&] { grad_cam(model(), picture, {"layer4"}, 1, CamStyle::course); });
  EXPECT_LT(explained, 1.05 * alone);
  EXPECT_GT(explained, 0.9 * alone);  // a block that is given out again may be larger than what was asked for

  const tape::NoGrad no_grad;
  const Watch layer4 = model().watch("layer4");
  const Tensor logit = pick(model()(picture), 1);
  std::vector<std::string> operators;
  for (const tape::Node* node = logit.grad_state()->producer.get(); node;
       node = node->inputs[0] ? node->inputs[0]->producer.get() : nullptr)
    operators.push_back(node->name);
  EXPECT_EQ(operators, (std::vector<std::string>{"pick", "linear", "flatten", "adaptive_avg_pool2d"}))
      << "all that there is to go back through";
}

// --- Training ----------------------------------------------------------------------------------------------------------------------------

constexpr int kSize = 32, kPictures = 8;

Learner learner(ResNet& model, amp::Precision precision) {
  set_host_threads(1);  // tests run in parallel
  return Learner(model, std::make_unique<StripedBatches>(2 * kPictures, kPictures, kSize, kClasses),
                 std::make_unique<StripedBatches>(kPictures, kPictures, kSize, kClasses), small_info(kClasses, kSize),
                 {.augmentation = false, .precision = precision, .scaler = {.initial = 1024}});
}

class CapturedTraining : public testing::TestWithParam<amp::Precision> {};

INSTANTIATE_TEST_SUITE_P(Here, CapturedTraining, testing::Values(amp::Precision::fp32, amp::Precision::fp16),
                         [](const auto& which) { return std::string(amp::name_of(which.param)); });

// Looks at every batch through its watches.
class Looks final : public Callback {
 public:
  explicit Looks(std::vector<Watch> watches) : watches_(std::move(watches)) {}
  Order order() const override { return Order::show; }
  void after_batch(const BatchReport&) override {
    ++batches_;
    for (const Watch& watch : watches_)
      for (size_t call = 0; call < watch.calls(); ++call) {
        EXPECT_EQ(watch.activation(call).size(0), kPictures) << watch.name();
        EXPECT_TRUE(all_finite(watch.activation(call).to_doubles())) << watch.name();
        const std::vector<double> gradient = watch.gradient(call).to_doubles();
        EXPECT_TRUE(all_finite(gradient)) << watch.name();
        EXPECT_GT(norm(gradient), 0) << watch.name();
        EXPECT_LT(norm(gradient), 500) << watch.name() << ": is the scale still in it?";  // conv1: 70, or 70000
      }
  }
  int batches() const { return batches_; }
  const Watch& first() const { return watches_[0]; }

 private:
  std::vector<Watch> watches_;
  int batches_ = 0;
};

TEST_P(CapturedTraining, WatchingWhileTraining) {
  Device& device = open_device("cpu");
  ResNet alone({.classes = kClasses, .seed = 3}, {.device = device}), watched({.classes = kClasses, .seed = 3}, {.device = device});
  learner(alone, GetParam()).fit_one_cycle(1, 1e-3);
  Looks looks(watched.watch_all("layer4", "conv1", "layer?.0.bn2", "layer1.1.relu", "layer3.0.downsample.*", "head.*"));
  Learner looked_at = learner(watched, GetParam());
  looked_at.add(looks);
  looked_at.fit_one_cycle(1, 1e-3);
  EXPECT_EQ(looks.batches(), 2);
  EXPECT_TRUE(values_of(watched) == values_of(alone)) << "a watch moved the training";
  EXPECT_EQ(looks.first().calls(), 1u);
  EXPECT_EQ(looks.first().activation().dtype(), amp::dtype_of(GetParam())) << "of the last validation batch";
}

TEST(CapturedTrainingIn, Fp16TrainedModel) {
  Device& device = open_device("cpu");
  ResNet model({.classes = kClasses, .seed = 3}, {.device = device});
  learner(model, amp::Precision::fp16).fit_one_cycle(1, 1e-3);  // weights have half copies, norms have seen halves
  model.evaluate();
  const Tensor pictures = noise(9, DType::f32, device, 64);
  const amp::GradScaler scaler(device, {.initial = 1024});
  const auto watched = [&](const Tensor& picture, DType dtype, const tape::BackwardOptions& options) {
    const Watch layer3 = model.watch("layer3");
    const tape::NoGrad no_grad;
    const amp::Autocast autocast(dtype);
    tape::backward(pick(cast(model(picture), DType::f32), 1), options);
    EXPECT_EQ(layer3.activation().dtype(), dtype);
    return std::pair(layer3.activation().to_doubles(), layer3.gradient());
  };
  // A rounding to half that flips the sign of a ReLU's input changes a gradient much, and which ones change sign depends on the processor:
  // the median of several pictures shows the cost of half precision.
  std::vector<double> apart;
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    const auto [activation, gradient] = watched(pictures.slice(i, i + 1), DType::f32, {});
    const auto [half_activation, half_gradient] = watched(pictures.slice(i, i + 1), DType::f16, {.factor = scaler.factor()});
    EXPECT_EQ(half_gradient.dtype(), DType::f32) << "without the scale, which a half might not hold";
    EXPECT_LT(distance(half_activation, activation), 0.01);
    apart.push_back(distance(half_gradient.to_doubles(), gradient.to_doubles()));
  }
  std::nth_element(apart.begin(), apart.begin() + 4, apart.end());
  EXPECT_LT(apart[4], 0.1) << testing::PrintToString(apart);
  const Tensor picture = pictures.slice(0, 1);
  const GradCam cam = grad_cam(model, picture, {"layer3", "layer4"}, 1, CamStyle::course);
  for (const CamMap& map : cam.maps) {
    EXPECT_TRUE(all_finite({map.values.begin(), map.values.end()})) << map.layer;
    EXPECT_GT(norm({map.values.begin(), map.values.end()}), 0) << map.layer;
  }
}

}  // namespace
}  // namespace mirilla::nn
