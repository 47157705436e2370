// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/devices.h"
#include "nn/explain/attribution.h"
#include "nn/explain/cam.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// pytorch-grad-cam's results in float64 come from tests/oracle/make_cams.py, which describes them; ours are in f32 on the CPU.
namespace mirilla::nn {
namespace {

constexpr int64_t kSide = 64;
constexpr double kTolerance = 1e-5;
// Logits near 1 are rounded to 1e-7, and this compares their differences of about 0.02, summed over 256 channels: PyTorch in
// f32 differs by up to 3e-5 from PyTorch in float64.
constexpr double kTolerantOfDifferences = 1e-4;
constexpr const char* kDifferences = "f32 against float64, small differences of logits";

const weights::StateDict& oracle() {
  static const weights::StateDict read = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/cams/cams.safetensors");
  return read;
}

ResNet& model() {
  static ResNet filled = [] { return ResNet{{.classes = 6, .seed = {}}, {.device = open_device("cpu")}}; }();
  static const bool once = (test::fill_by_name(filled), true);
  static_cast<void>(once);
  return filled;
}

// The first n of the oracle's two pictures.
Tensor pictures(int64_t n) {
  std::vector<float> values;
  for (const double u : test::units("input", n * kSide * kSide * 3)) values.push_back(static_cast<float>(2 * (2 * u - 1)));
  return from_host(values, {n, kSide, kSide, 3}, open_device("cpu"));
}

Target target(int index) { return {{{index}}}; }
std::vector<Target> classes() { return {target(0), target(3)}; }
std::vector<Target> differences() { return {Target{{{0, 1}, {3, -1}}}, Target{{{3, 1}, {5, -1}}}}; }

std::vector<double> wanted(const std::string& name, DType stored = DType::f64) {
  if (stored == DType::f64) {
    const auto values = oracle().at(name).values<double>();
    return {values.begin(), values.end()};
  }
  const auto values = oracle().at(name).values<float>();
  return {values.begin(), values.end()};
}

// The largest difference of two arrays, relative to the largest value of theirs; with either_sign the smaller one for ours and minus ours.
double furthest(std::span<const float> ours, std::span<const double> theirs, bool either_sign = false) {
  EXPECT_LE(ours.size(), theirs.size());
  double largest = 0, plus = 0, minus = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    largest = std::max(largest, std::abs(theirs[i]));
    plus = std::max(plus, std::abs(ours[i] - theirs[i]));
    minus = std::max(minus, std::abs(-ours[i] - theirs[i]));
  }
  EXPECT_GT(largest, 0) << "nothing to compare with";
  return (either_sign ? std::min(plus, minus) : plus) / largest;
}

// The largest difference over the pictures, each map against its rows in the oracle's tensor.
double furthest_map(const std::vector<CamExplanation>& ours, const std::vector<double>& theirs, bool either_sign = false) {
  double worst = 0;
  size_t begin = 0;
  for (const CamExplanation& explanation : ours) {
    const auto& values = explanation.maps.at(0).values;
    worst = std::max(worst, furthest(values, std::span(theirs).subspan(begin, values.size()), either_sign));
    begin += values.size();
  }
  return worst;
}

// Every third row and column.
std::vector<float> sampled(std::span<const float> values, size_t channels) {
  std::vector<float> kept;
  for (size_t k = 0; k < values.size(); ++k) {
    const size_t pixel = k / channels;
    if (pixel / kSide % 3 == 0 && pixel % kSide % 3 == 0) kept.push_back(values[k]);
  }
  return kept;
}

void report(const std::string& name, const std::string& what, double measured, double tolerance = kTolerance,
            const std::string& because = "f32 against float64") {
  parity::report({.id = "grad-cam." + name,
                  .what = what,
                  .against = oracle().metadata.at("made_with"),
                  .measured = measured,
                  .tolerance = tolerance,
                  .unit = "of the map's largest value",
                  .tolerance_because = because});
}

struct Case {
  const char* id;  // and the method's name
  const char* what;
  int64_t pictures = 2;
  bool either_sign = false;
  double tolerance = kTolerance;
};

class CamsParity : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Methods, CamsParity,
    testing::Values(Case{"gradcam", "Grad-CAM at layer3, two pictures, two classes"}, Case{"gradcam++", "Grad-CAM++ at layer3"},
                    Case{"hirescam", "HiResCAM at layer3"}, Case{"xgradcam", "XGrad-CAM at layer3"}, Case{"layercam", "LayerCAM at layer3"},
                    Case{"eigencam", "Eigen-CAM at layer3, up to the sign, which is LAPACK's choice there", 2, true},
                    Case{"eigengradcam", "Eigen-CAM of gradient times activation at layer3, up to the sign, which is LAPACK's choice there",
                         2, true},
                    Case{"scorecam", "Score-CAM at layer3, 256 masked pictures", 1},
                    Case{"ablationcam", "Ablation-CAM at layer3, each of 256 channels zeroed", 1, false, kTolerantOfDifferences}),
    [](const auto& tested) {
      std::string name(tested.param.id);
      std::replace(name.begin(), name.end(), '+', 'p');
      return name;
    });

TEST_P(CamsParity, MapsBeforeTheirReLUAreTheOnesOfPytorchGradCam) {
  const Case& c = GetParam();
  std::vector<Target> targets = classes();
  targets.resize(static_cast<size_t>(c.pictures));
  const auto maps = cam(model(), pictures(c.pictures), {.method = c.id, .layers = {"layer3"}, .targets = targets});
  report(c.id, c.what, furthest_map(maps, wanted("raw." + std::string(c.id)), c.either_sign), c.tolerance,
         c.tolerance == kTolerance ? "f32 against float64" : kDifferences);
}

TEST(ExplanationsParity, TargetsAreSumsAndDifferencesOfLogits) {
  const auto difference = cam(model(), pictures(2), {.layers = {"layer3"}, .targets = differences()});
  const auto several = cam(model(), pictures(2), {.layers = {"layer3"}, .targets = {Target{{{0}, {1}, {2}}}, Target{{{3}, {4}}}}});
  report("targets", "Grad-CAM of a difference of two logits and of a sum of several, another for each picture of a batch",
         std::max(furthest_map(difference, wanted("raw.gradcam.difference")), furthest_map(several, wanted("raw.gradcam.several"))));
}

double furthest_image(const std::string& name, ExplainOptions options, size_t n = 2) {
  options.targets.resize(n);
  std::vector<CamExplanation> images = cam(model(), pictures(static_cast<int64_t>(n)), options);
  for (CamExplanation& image : images) image.maps.at(0).values = sampled(image.maps[0].values, 1);
  return furthest_map(images, wanted("image." + name, DType::f32));
}

TEST(ExplanationsParity, ImagesAreTheOnesThatPytorchGradCamReturns) {
  report("image", "Grad-CAM at layer3 as the call returns it: rectified, scaled to [0,1], stretched to 64x64",
         furthest_image("gradcam", {.layers = {"layer3"}, .targets = differences(), .style = CamStyle::paper, .fuse = Fuse::mean}));
  report("fused", "Grad-CAM at layer3 and layer4, fused by mean",
         furthest_image("fused", {.layers = {"layer3", "layer4"}, .targets = differences(), .style = CamStyle::paper, .fuse = Fuse::mean}));
  // For the second picture, one of the six versions has a ReLU input of layer4 that is nearer to zero than the error of f32.
  report("smooth", "Grad-CAM at layer3 with aug_smooth: six versions of a picture",
         furthest_image("smooth", {.layers = {"layer3"}, .targets = differences(), .style = CamStyle::paper, .smooth = true}, 1));
}

double furthest_pixels(const std::string& name, const std::vector<Attribution>& ours) {
  return furthest(sampled(ours.at(0).values, 3), wanted(name, DType::f32));
}

TEST(ExplanationsParity, PixelMethodsAreTheirDefinitionsInPyTorch) {
  const std::vector<Target> first{target(0)};
  report("guided", "guided backpropagation of a picture: GuidedBackpropReLUModel",
         furthest_pixels("guided", guided_backpropagation(model(), pictures(1), first)));
  report("integrated", "integrated gradients at 16 midpoints, by torch.autograd",
         furthest_pixels("integrated", integrated_gradients(model(), pictures(1), first, {.steps = 16})));
  report("smoothgrad", "SmoothGrad over 4 pictures with the same noise, by torch.autograd",
         furthest_pixels("smoothgrad", smoothgrad(model(), pictures(1), first, {.samples = 4, .seed = 1})));
  report("occlusion", "logit 0 lost to a square of 16 pixels, every 8 pixels",
         furthest(sampled(occlusion(model(), pictures(1), first, {.window = 16, .stride = 8}).at(0).values, 1),
                  wanted("occlusion", DType::f32)),
         kTolerantOfDifferences, kDifferences);
}

}  // namespace
}  // namespace mirilla::nn
