// SPDX-License-Identifier: MIT
// docs/capture.md's example, word for word.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "kernels/devices.h"
#include "nn/modules/resnet.h"
#include "tests/nn/modules/capture_network.h"

namespace mirilla {
namespace {

std::string text_of(const std::string& path) {
  const std::ifstream file(fmt::format("{}/{}", MIRILLA_SOURCE_DIR, path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The words, with one space after each.
std::string even(const std::string& text) {
  std::istringstream words(text);
  std::string all, word;
  while (words >> word) (all += word) += ' ';
  return all;
}

TEST(CaptureExample, RunsAsItIsWritten) {
  nn::ResNet model({.classes = 3}, {.device = open_device("cpu")});
  const Tensor pictures = nn::noise(2, DType::f32, open_device("cpu"), 64);
  const Tensor targets = from_host(std::vector<float>{0, 1, 0, 0, 0, 1}, {2, 3}, open_device("cpu"));
  testing::internal::CaptureStdout();
  // clang-format off
  const nn::Watch layer4 = model.watch("model[0]");  // or "layer4", as torchvision calls it
  const std::vector<nn::Watch> relus = model.watch_all("layer*.?.relu");

  const nn::EvaluationMode mode(model);
  const tape::NoGrad no_grad;                // nothing is recorded but what is watched
  const Tensor logits = model(pictures);     // (2,classes)
  tape::backward(logits, {.seed = targets});  // one one-hot row per picture: each its own class

  const std::vector<float> activation = layer4.activation().to_vector<float>();  // (2,h,w,512)
  const std::vector<float> gradient = layer4.gradient().to_vector<float>();      // like it
  for (const nn::Watch& relu : relus)
    for (size_t call = 0; call < relu.calls(); ++call)  // a block's ReLU runs twice
      std::printf("%s, call %zu: %s\n", relu.name().c_str(), call, to_string(relu.gradient(call).shape()).c_str());
  // clang-format on
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_EQ(activation.size(), 2u * 2 * 2 * 512);
  EXPECT_EQ(gradient.size(), activation.size());
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 16) << printed;
  EXPECT_NE(printed.find("layer1.0.relu, call 1: (2,16,16,64)\n"), std::string::npos) << printed;

  const std::string page = text_of("docs/capture.md"), fence = "```cpp\n";
  const size_t begin = page.find(fence) + fence.size();
  const std::string block = page.substr(begin, page.find("```", begin) - begin);
  EXPECT_NE(even(text_of("tests/nn/modules/capture_example_test.cpp")).find(even(block)), std::string::npos)
      << "the page says something else";
}

}  // namespace
}  // namespace mirilla
