// SPDX-License-Identifier: MIT
// Cross entropy with smoothed targets and class weights against PyTorch in double: tests/oracle/make_objectives.py wrote the file.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/ops/cross_entropy.h"
#include "engine/tape.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "weights/safetensors.h"

namespace mirilla {
namespace {

struct Where {
  std::string device;
  DType dtype;
};

std::vector<Where> everywhere() {
  std::vector<Where> all{{"reference", DType::f64}};
  for (const std::string& name : device_names()) all.push_back({name, DType::f32});
  return all;
}

class CrossEntropyOn : public testing::TestWithParam<Where> {
 protected:
  Tensor like(const weights::Array& array) {
    const auto values = array.values<double>();
    return from_doubles({values.begin(), values.end()}, array.shape(), GetParam().dtype, open_device(GetParam().device));
  }
  // Relative to the largest, which is what a sum of that many terms rounds to.
  void expect(const Tensor& tensor, const weights::Array& array, double floor) {
    const auto wanted = array.values<double>();
    const std::vector<double> came = tensor.to_doubles();
    ASSERT_EQ(came.size(), wanted.size());
    double largest = floor;
    for (const double value : wanted) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < came.size(); ++i)
      ASSERT_NEAR(came[i], wanted[i], (GetParam().dtype == DType::f64 ? 1e-14 : 1e-6) * largest) << i;
  }
};

INSTANTIATE_TEST_SUITE_P(Here, CrossEntropyOn, testing::ValuesIn(everywhere()),
                         [](const auto& tested) { return tested.param.device + "_" + std::string(name_of(tested.param.dtype)); });

TEST_P(CrossEntropyOn, GivesPyTorchsLossesAndGradients) {
  const weights::StateDict oracle = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/objectives/cross_entropy.safetensors");
  size_t number = 0;
  for (; oracle.contains(fmt::format("case{}.logits", number)); ++number) {
    SCOPED_TRACE(number);
    const auto at = [&](const char* what) -> const weights::Array& { return oracle.at(fmt::format("case{}.{}", number, what)); };
    const auto attributes = nlohmann::json::parse(oracle.metadata.at(fmt::format("case{}", number)));
    Tensor logits = like(at("logits"));
    logits.set_requires_grad();
    const auto targets = at("targets").values<int64_t>();
    CrossEntropyOptions options{.label_smoothing = attributes["label_smoothing"]};
    if (oracle.contains(fmt::format("case{}.weights", number))) options.weights = like(at("weights"));
    const CrossEntropy result = cross_entropy(
        logits, from_host(std::vector<int64_t>(targets.begin(), targets.end()), {static_cast<int64_t>(targets.size())}, logits.device()),
        options);
    expect(result.losses, at("losses"), 1);
    expect(result.loss, at("loss"), 1);
    tape::backward(result.loss);
    expect(logits.grad(), at("dlogits"), 1e-2);
  }
  EXPECT_EQ(number, 7u);
}

TEST_P(CrossEntropyOn, WithoutOptionsIsThePlainOneToTheBit) {
  Device& device = open_device(GetParam().device);
  Tensor logits = from_doubles(std::vector<double>{0.5, -3, 7, 0.1, 0.2, 0.3}, {2, 3}, GetParam().dtype, device);
  logits.set_requires_grad();
  const Tensor targets = from_host(std::vector<int64_t>{2, 0}, {2}, device);
  const CrossEntropy plain = cross_entropy(logits, targets), same = cross_entropy(logits, targets, CrossEntropyOptions{});
  EXPECT_EQ(plain.loss.to_doubles(), same.loss.to_doubles());
  EXPECT_FALSE(same.weights);
}

TEST_P(CrossEntropyOn, AMaskedClassDoesNotHarmTheOthersLosses) {
  Device& device = open_device(GetParam().device);
  const double masked = -std::numeric_limits<double>::infinity();
  const Tensor logits = from_doubles(std::vector<double>{1, 2, masked}, {1, 3}, GetParam().dtype, device);
  const Tensor weights = from_doubles(std::vector<double>{2, 1, 1}, {3}, GetParam().dtype, device);
  const CrossEntropy result = cross_entropy(logits, from_host(std::vector<int64_t>{0}, {1}, device), {.weights = weights});
  EXPECT_NEAR(result.loss.item(), std::log1p(std::exp(1)), 1e-6);
  EXPECT_NEAR(result.losses.to_doubles()[0], 2 * std::log1p(std::exp(1)), 1e-6);
}

TEST(CrossEntropyRefuses, WeightsThatDoNotFit) {
  Device& device = open_device("cpu");
  const Tensor logits = zeros({2, 3}, DType::f32, device), targets = zeros({2}, DType::i64, device);
  EXPECT_THROW(cross_entropy(logits, targets, {.weights = zeros({2}, DType::f32, device)}), ShapeError);
  EXPECT_THROW(cross_entropy(logits, targets, {.label_smoothing = 1.5}), Error);
}

}  // namespace
}  // namespace mirilla
