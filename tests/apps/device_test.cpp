// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "kernels/cuda/device.h"
#include "kernels/devices.h"
#include "nn/files/model_file.h"
#include "nn/modules/resnet.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

constexpr int kSide = 64;  // so that layer4 has several positions

// A model, a picture, and pictures of two classes.
class DeviceOption : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    nn::ResNet network({.classes = 2, .seed = 2}, {.device = open_device("cpu")});
    nn::save_model(model(), network, {.vocabulary = {"sea", "street"}, .resize = kSide, .size = kSide});
    for (const auto& [name, scene] : {std::pair{"sea", data::SceneClass::kSea}, {"street", data::SceneClass::kStreet}}) {
      std::filesystem::create_directories(*folder / (std::string("data/") + name));
      data::write_png(*folder / fmt::format("data/{}/1.png", name), data::draw_scene(scene, 1, 3, kSide).picture);
    }
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string model() { return *folder / "model.safetensors"; }
  static std::string photo() { return *folder / "data/sea/1.png"; }
  static std::string pictures() { return *folder / "data"; }

  // Every command that computes, with its arguments.
  static std::vector<std::vector<std::string>> commands() {
    const std::string out = *folder / "out";
    return {{"show-batch", "--data", pictures(), "--out", out + ".png"},
            {"train", "--data", pictures(), "--out", out},
            {"lr-find", "--data", pictures(), "--out", out},
            {"predict", model(), photo()},
            {"eval", model(), "--data", pictures()},
            {"interpret", model(), "--data", pictures(), "--out", out},
            {"gradcam", model(), photo(), "--out", out + ".png"},
            {"cam-bench", model(), "--data", pictures(), "--out", out},
            {"explore", model(), photo(), "--out", out + ".html"},
            {"serve", model()},
            {"diff", model(), model(), photo()}};
  }
  // diff uses exit code 1 for its answer, like diff(1).
  static int failure(const std::vector<std::string>& command) { return command[0] == "diff" ? 2 : 1; }
  static Outcome run_on(std::vector<std::string> arguments, const std::string& device) {
    arguments.insert(arguments.end(), {"--device", device});
    return run(arguments);
  }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(DeviceOption, MissingCudaIsOneSentenceInEveryCommandAndNoFallback) {
  if (cuda::unavailable().empty()) GTEST_SKIP() << "there is a GPU";
  for (const std::vector<std::string>& command : commands()) {
    const Outcome outcome = run_on(command, "cuda");
    EXPECT_EQ(outcome.code, failure(command)) << command[0] << ": " << outcome.out;
    EXPECT_NE(outcome.err.find("mirilla: the device 'cuda'"), std::string::npos) << command[0] << ": " << outcome.err;
    EXPECT_NE(outcome.err.find(cuda::unavailable()), std::string::npos) << command[0] << ": " << outcome.err;
    EXPECT_EQ(outcome.out.find("device: "), std::string::npos) << command[0] << ": " << outcome.out;
  }
}

TEST_F(DeviceOption, AnUnknownOneIsNamedWithTheKnownOnes) {
  for (const std::vector<std::string>& command : commands()) {
    const Outcome outcome = run_on(command, "abacus");
    EXPECT_EQ(outcome.code, failure(command)) << command[0];
    for (const char* word : {"abacus", "cpu", "simt"}) EXPECT_NE(outcome.err.find(word), std::string::npos) << command[0] << outcome.err;
  }
}

// The CUDA kernels, run by the host: what `--device cuda` starts, except for the libraries' convolutions.
TEST_F(DeviceOption, TheCudaKernelsPredictAndExplainAsTheCpuDoes) {
  const auto probabilities = [](const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)[0]["probabilities"];
  };
  const std::vector<std::string> predict{"predict", model(), photo(), "--precision", "fp32", "--json"};
  const Json ours = probabilities(run_on(predict, "simt")), cpus = probabilities(run_on(predict, "cpu"));
  ASSERT_EQ(ours.size(), 2u);
  for (const auto& [name, value] : ours.items()) EXPECT_NEAR(value.get<double>(), cpus[name].get<double>(), 1e-5) << name;

  std::vector<float> maps[2];
  for (const char* device : {"cpu", "simt"}) {
    const std::string map = *folder / fmt::format("{}.npy", device);
    const Outcome outcome = run_on({"gradcam", model(), photo(), "--layer", "layer4", "--out", *folder / "map.png", "--npy", map}, device);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const std::string bytes = slurp(map);
    std::vector<float>& values = maps[device == std::string("simt")];
    values.resize(4);  // layer4 of 64 pixels is (2,2); they are at the file's end
    ASSERT_GT(bytes.size(), 4 * sizeof(float));
    std::memcpy(values.data(), bytes.data() + bytes.size() - 4 * sizeof(float), 4 * sizeof(float));
  }
  const auto size = [](float value) { return std::abs(value); };
  const float largest = std::ranges::max(maps[0], {}, size);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(maps[1][i], maps[0][i], 1e-4 * std::abs(largest)) << i;  // in half precision it would be 5e-3
}

TEST(DevicePicturesOption, NeedsAnAmount) {
  for (const char* command : {"train", "lr-find"})
    for (const char* amount : {"8X", "G", "20000000000G", "much"}) {
      const Outcome outcome = run({command, "--device", "cpu", "--device-pictures", amount});
      EXPECT_EQ(outcome.code, 2) << command << " " << amount;
      EXPECT_NE(outcome.err.find("auto, off or a number of bytes"), std::string::npos) << outcome.err;
    }
}

}  // namespace
}  // namespace mirilla::apps
