// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "nn/files/model_file.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

constexpr int kSide = 32;

// A model that calls everything sea, a few sea pictures with masks, and the same pictures without.
class CamBenchCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    const nn::ModelInfo info{.vocabulary = {"sea", "street"}, .resize = kSide, .size = kSide};
    nn::ResNet network({.classes = 2, .seed = 2}, {.device = open_device("cpu")});
    Tensor last = network.at("head.8").own_parameters()[0].tensor;
    std::vector<float> values = last.to_vector<float>();
    const size_t half = values.size() / 2;  // class 1 has the weights of class 0, and a lower logit
    for (size_t i = 0; i < half; ++i) values[i] = std::abs(values[i]), values[half + i] = -values[i];
    last.copy_from(from_host(values, last.shape(), last.device()));
    nn::save_model(model(), network, info);
    for (const uint32_t i : {0u, 1u}) {
      const data::Scene scene = data::draw_scene(data::SceneClass::kSea, 1, i, kSide);
      data::Picture mask(kSide, kSide);
      for (size_t k = 0; k < mask.pixels.size(); ++k) mask.pixels[k] = scene.mask[k / 3];
      for (const char* set : {"scenes", "photos"}) {
        for (const char* label : {"sea", "street"}) {
          fs::create_directories(folder->path() / set / label);
          data::write_png(folder->path() / set / label / (std::to_string(i) + ".png"), scene.picture);
        }
      }
      fs::create_directories(folder->path() / "scenes/masks/sea");
      data::write_png(folder->path() / "scenes/masks/sea" / (std::to_string(i) + ".png"), mask);
    }
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string model() { return *folder / "model.safetensors"; }
  static std::string data(const std::string& set) { return *folder / set; }
  // Runs cam-bench with two methods at a layer of 4x4.
  static Outcome bench(const std::string& set, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"cam-bench", model(), "--data",          data(set), "--layer", "layer2",
                                       "--again",   "1",     "--perturbations", "1",       "--steps", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(CamBenchCommand, MeasuresMethodsBesideBaselines) {
  const std::string out = *folder / "table.csv";
  const Outcome outcome = bench("scenes", {"--methods", "gradcam,layercam", "--json", "--out", out});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(document["pictures"], 2) << "the seas; the streets are called sea";
  EXPECT_EQ(document["evaluated"], 4);
  EXPECT_EQ(document["with_mask"], 2);
  ASSERT_EQ(document["rows"].size(), 5u);
  for (const char* column : {"pointing", "energy", "insertion", "deletion", "drop", "increase", "road", "sensitivity", "randomisation"})
    EXPECT_TRUE(document["rows"][0]["values"][column]["mean"].is_number()) << column;
  EXPECT_TRUE(document["rows"][2]["survives_random_weights"]) << "a baseline";
  EXPECT_THAT(slurp(out), HasSubstr("method,baseline,pointing,pointing-exact,energy,"));
  EXPECT_THAT(slurp(out), HasSubstr("\nlayercam,0,"));
}

TEST_F(CamBenchCommand, LeavesTheMaskOutWhereThereIsNoneUnlessAskedFor) {
  const Outcome all = bench("photos", {"--methods", "gradcam", "--limit", "1"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, HasSubstr("insertion +"));
  EXPECT_EQ(all.out.find("energy"), std::string::npos) << all.out;
  EXPECT_THAT(all.out, HasSubstr("1 of 2 pictures"));
  const Outcome asked = bench("photos", {"--methods", "gradcam", "--measures", "energy"});
  EXPECT_EQ(asked.code, 1);
  EXPECT_THAT(asked.err, HasSubstr("none of the 2 pictures has a mask"));
}

TEST_F(CamBenchCommand, SaysWhatItCannotDo) {
  const Outcome method = bench("scenes", {"--methods", "gradcam,guess"});
  EXPECT_EQ(method.code, 2);
  EXPECT_THAT(method.err, HasSubstr("there is no method 'guess'"));
  const Outcome measure = bench("scenes", {"--measures", "beauty"});
  EXPECT_EQ(measure.code, 2);
  EXPECT_THAT(measure.err, HasSubstr("there is no measure 'beauty'"));
  fs::create_directories(folder->path() / "empty");
  const Outcome empty = bench("empty", {});
  EXPECT_EQ(empty.code, 1);
  EXPECT_THAT(empty.err, HasSubstr("empty"));
  fs::create_directories(folder->path() / "wrong");
  fs::copy(folder->path() / "photos/street", folder->path() / "wrong/street");
  const Outcome wrong = bench("wrong", {});
  EXPECT_EQ(wrong.code, 1) << "the command was right, and the model is not";
  EXPECT_THAT(wrong.err, HasSubstr("mirilla: there is no correctly classified picture to measure explanations with"));
}

}  // namespace
}  // namespace mirilla::apps
