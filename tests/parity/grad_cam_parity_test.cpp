// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/devices.h"
#include "nn/explain/grad_cam.h"
#include "nn/modules/resnet.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// Maps that fastai's hooks and pytorch-grad-cam gave. tests/oracle/make_grad_cam.py says which, and where the network's values come from.
namespace mirilla::nn {
namespace {

const std::map<std::string, std::pair<int64_t, int64_t>> kPictures{
    {"a", {128, 128}}, {"b", {128, 128}}, {"c", {128, 128}}, {"wide", {96, 160}}};
constexpr int kClasses[] = {0, 3, 5};

// (v - min) / (max - min): pytorch-grad-cam's scale_cam_image without its epsilon. A map of nothing stays one.
std::vector<double> scaled(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  std::vector<double> out;
  for (const double value : values) out.push_back(*high > *low ? (value - *low) / (*high - *low) : 0);
  return out;
}

// The largest difference, as a part of the wanted map's range where `of_range`. NaN where a value is.
double furthest(const std::vector<double>& came, const std::vector<double>& wanted, bool of_range) {
  EXPECT_EQ(came.size(), wanted.size());
  const auto [low, high] = std::minmax_element(wanted.begin(), wanted.end());
  double largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double difference = std::abs(came.at(i) - wanted[i]) / (of_range ? *high - *low : 1);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

class GradCamParity : public testing::Test {
 protected:
  static Tensor picture(const std::string& name, const Placement& placement) {
    const auto [height, width] = kPictures.at(name);
    std::vector<float> values;
    for (const double u : test::units("grad_cam." + name, height * width * 3)) values.push_back(static_cast<float>(2 * (2 * u - 1)));
    return from_host(values, {1, height, width, 3}, placement.device).to(placement.dtype);
  }
  std::vector<double> wanted(const std::string& name) const {
    const weights::Array& array = oracle_.at(name);
    if (array.dtype() == DType::f64) return {array.values<double>().begin(), array.values<double>().end()};
    return {array.values<float>().begin(), array.values<float>().end()};
  }

  // The furthest of all maps that the oracle keeps under `kind`, a layer each.
  std::map<std::string, double> differences(const std::string& kind, const Placement& placement, CamStyle style) {
    ResNet model({.classes = 6, .seed = std::nullopt}, placement);
    test::fill_by_name(model);
    const std::vector<std::string> layers{"model[0]", "model[0][-2]"};
    std::map<std::string, double> largest{{"layer4", 0}, {"layer3", 0}};
    for (const auto& [name, extents] : kPictures) {
      for (const int target : kClasses) {
        const std::string key = kind + "." + name + "." + std::to_string(target) + ".";
        if (!oracle_.contains(key + "layer4")) continue;
        const GradCam cam = grad_cam(model, picture(name, placement), layers, target, style);
        for (const CamMap& map : cam.maps) {
          EXPECT_EQ((Shape{map.height, map.width}), oracle_.at(key + map.layer).shape()) << key << map.layer;
          const std::vector<double> came(map.values.begin(), map.values.end());
          const bool course = style == CamStyle::course;
          const double difference = furthest(course ? came : scaled(came), wanted(key + map.layer), course);
          if (!(difference <= largest.at(map.layer))) largest.at(map.layer) = difference;
        }
      }
    }
    return largest;
  }

  void report(const std::string& id, const std::string& what, const std::string& package, double measured, double tolerance,
              const std::string& because) {
    parity::report({.id = "grad-cam." + id,
                    .what = what,
                    .against = package,
                    .measured = measured,
                    .tolerance = tolerance,
                    .unit = "of the map's range",
                    .tolerance_because = because});
  }
  // "fastai 2.8.12" out of what the file says made it.
  std::string version_of(const std::string& package) const {
    const std::string& all = oracle_.metadata.at("made_with");
    const size_t begin = all.find(package + " ");
    return all.substr(begin, all.find(',', begin) - begin);
  }
  std::string fastai() const { return version_of("fastai") + ", " + version_of("torch"); }

  weights::StateDict oracle_ = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/grad_cam/maps.safetensors");
};

TEST_F(GradCamParity, GivesTheMapsOfTheCoursesHooks) {
  const auto apart = differences("f32", {.device = open_device("cpu")}, CamStyle::course);
  const std::string because = "f32 sums in another order; PyTorch's own maps in f32 are 1.5e-6 away from those in double";
  report("last-f32", "model[0], 3 classes of 4 pictures, one of them not square", fastai(), apart.at("layer4"), 1e-5, because);
  report("earlier-f32", "model[0][-2], the same", fastai(), apart.at("layer3"), 1e-5, because);
}

TEST_F(GradCamParity, GivesTheMapsOfTheCoursesHooksInDouble) {
  const auto apart = differences("f64", {.device = open_device("reference"), .dtype = DType::f64}, CamStyle::course);
  const std::string because = "maps are handed out as f32, whose last bit is up to 2e-7 of a range that does not reach 0";
  report("last-f64", "model[0], the network in double, 3 classes of 2 pictures", fastai(), apart.at("layer4"), 2e-7, because);
  report("earlier-f64", "model[0][-2], the same", fastai(), apart.at("layer3"), 2e-7, because);
}

TEST_F(GradCamParity, GivesTheMapsOfThePaper) {
  const auto apart = differences("paper", {.device = open_device("cpu")}, CamStyle::paper);
  const std::string because = "as in the course's way, over a range that the ReLU cuts";
  report("paper-last", "the paper's way with its ReLU, scaled to 0..1, at the last layer", version_of("grad-cam"), apart.at("layer4"), 1e-5,
         because);
  report("paper-earlier", "the same at the layer before", version_of("grad-cam"), apart.at("layer3"), 1e-5, because);
}

}  // namespace
}  // namespace mirilla::nn
