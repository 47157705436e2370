// SPDX-License-Identifier: MIT
#include "apps/pages/explore.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/pages/channel_images.h"
#include "data/pictures/decode.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/explain/grad_cam.h"
#include "nn/run/finite.h"
#include "nn/run/predict.h"
#include "tests/oracle/named_values.h"

namespace mirilla::pages {
namespace {

using Json = nlohmann::json;

std::vector<uint8_t> from_base64(const std::string& text) {
  static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  uint32_t word = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    word = word << 6 | static_cast<uint32_t>(kDigits.find(c));
    if ((bits += 6) >= 8) bytes.push_back(static_cast<uint8_t>(word >> (bits -= 8)));
  }
  return bytes;
}

class Explored : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    model = std::make_unique<nn::ResNet>(nn::ResNetSpec{.seed = std::nullopt}, nn::Placement{.device = open_device("cpu")});
    test::fill_by_name(*model);
    model->evaluate();
    info = {.vocabulary = {"a", "</script><script>alert(1)</script>", "c", "d", "e", "f"}, .resize = 48, .size = 64};
    picture = data::Picture(60, 50);
    const auto units = test::units("explore.picture", static_cast<int64_t>(picture.pixels.size()));
    std::transform(units.begin(), units.end(), picture.pixels.begin(), [](double u) { return static_cast<uint8_t>(256 * u); });
    document = explore_document(*model, picture, info, "a<b>.png", {}, {.device = open_device("cpu")});
    json = Json::parse(document);
  }
  static void TearDownTestSuite() { model.reset(); }

  static const Json& capture_of(const std::string& name, size_t call = 0) {
    for (const Json& one : json["captures"])
      if (one["module"] == name && one["call"] == call) return one;
    throw std::runtime_error("no capture of " + name);
  }

  inline static std::unique_ptr<nn::ResNet> model;
  inline static nn::ModelInfo info;
  inline static data::Picture picture;
  inline static std::string document;
  inline static Json json;
};

TEST_F(Explored, EveryCallOfEveryModuleIsThere) {
  std::set<std::string> named, captured;
  for (const Json& one : json["modules"]) named.insert(one["name"].get<std::string>());
  for (const Json& one : json["captures"]) captured.insert(one["module"].get<std::string>());
  EXPECT_EQ(named.size(), model->modules().size());
  EXPECT_EQ(captured, named);
  EXPECT_EQ(capture_of("layer1.0.relu", 1)["calls"], 2);
  EXPECT_EQ(capture_of("layer4")["channels"], 512);
  for (const Json& one : json["captures"]) {
    EXPECT_TRUE(one.contains("gradient")) << one["module"];
    EXPECT_EQ(one["weights"].size(), json["classes"].size()) << one["module"];
  }
}

TEST_F(Explored, AChannelsImageGivesBackItsValuesToItsEightBits) {
  const nn::Watch watch = model->watch("layer2");
  const tape::NoGrad no_grad;
  (*model)(prepare(picture, info, {.device = open_device("cpu")}));
  const std::vector<double> values = watch.activation().to_doubles();
  const Json& one = capture_of("layer2");
  const int64_t h = one["height"], w = one["width"], c = one["channels"], columns = one["activation"]["columns"];
  ASSERT_EQ(one["shrink"], 1);
  const std::vector<uint8_t> png = from_base64(json["images"][one["activation"]["image"].get<size_t>()]);
  const data::Picture tiles = data::decode(png, "tiles.png");
  ASSERT_EQ(tiles.width, columns * w);
  for (int64_t channel = 0; channel < c; ++channel) {
    const double lo = one["activation"]["lo"][static_cast<size_t>(channel)], hi = one["activation"]["hi"][static_cast<size_t>(channel)];
    for (int64_t i = 0; i < h * w; ++i) {
      const uint8_t pixel = tiles.at(static_cast<int>(channel % columns * w + i % w), static_cast<int>(channel / columns * h + i / w))[0];
      ASSERT_NEAR(lo + pixel / 255.0 * (hi - lo), values[static_cast<size_t>(i * c + channel)], (hi - lo) / 500 + 1e-4 * std::abs(hi))
          << channel;
    }
  }
}

TEST_F(Explored, MapsAndClassesAreGradCamsAndPredicts) {
  const auto predictions = predict(*model, std::span(&picture, 1), info);
  EXPECT_EQ(json["target"], predictions[0].index);
  for (const Json& one : json["classes"])
    EXPECT_NEAR(one["probability"].get<double>(), predictions[0].probabilities[one["index"].get<size_t>()], 1e-4);
  for (size_t k : {0u, 3u}) {
    const nn::GradCam cam = nn::grad_cam(*model, prepare(picture, info, {.device = open_device("cpu")}), {"layer3"},
                                         json["classes"][k]["index"].get<int>(), nn::CamStyle::course);
    const Json& map = capture_of("layer3")["maps"][k];
    const double lo = map["lo"], hi = map["hi"];
    const std::vector<uint8_t> bytes = from_base64(map["bytes"]);
    ASSERT_EQ(bytes.size(), cam.maps[0].values.size());
    for (size_t i = 0; i < bytes.size(); ++i) EXPECT_NEAR(lo + bytes[i] / 255.0 * (hi - lo), cam.maps[0].values[i], (hi - lo) / 400) << k;
  }
}

TEST_F(Explored, ReceptiveFieldsAreThoseOfResNet18) {
  std::map<std::string, int> fields;
  for (const Json& one : json["modules"]) fields[one["name"]] = one["field"];
  EXPECT_EQ(fields["conv1"], 7);
  EXPECT_EQ(fields["maxpool"], 11);
  EXPECT_EQ(fields["layer1"], 43);
  EXPECT_EQ(fields["layer2"], 99);
  EXPECT_EQ(fields["layer3"], 211);
  EXPECT_EQ(fields["layer4"], 435);
}

TEST_F(Explored, ASmallBudgetShrinksMapsAndSaysSo) {
  ExploreOptions options{.most_classes = 1, .budget_bytes = 200000};
  const std::string small = explore_document(*model, picture, info, "p", options, {.device = open_device("cpu")});
  EXPECT_LT(small.size(), document.size() / 2);
  int shrink = 0;
  const Json shrunken = Json::parse(small);
  for (const Json& one : shrunken["captures"])
    if (one["module"] == "conv1") shrink = one["shrink"];
  EXPECT_GT(shrink, 1);
}

TEST_F(Explored, NoNameBecomesMarkupAndNothingAsksTheNetwork) {
  const std::string page = explore_page(document);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("a<b>.png"), std::string::npos);
  EXPECT_NE(page.find("\\u003c/script>"), std::string::npos);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* mark : {"/*DATA*/", "/*STYLE*/", "/*SCRIPT*/", "http://", "https://", "connect-src", "@import"})
    EXPECT_EQ(page.find(mark), std::string::npos) << mark;
  EXPECT_LT(page.size(), 15000000u);
}

TEST_F(Explored, TheModelIsLeftAsItWas) {
  for (const auto& [name, module] : model->modules()) EXPECT_FALSE(module->watched()) << name;
  EXPECT_THROW(explore_document(*model, picture, info, "p", {.target = 6}, {.device = open_device("cpu")}), UsageError);
}

TEST(ChannelImages, Base64IsThatOfItsStandard) {
  const auto coded = [](std::string_view text) { return base64({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); };
  EXPECT_EQ(coded(""), "");
  EXPECT_EQ(coded("f"), "Zg==");
  EXPECT_EQ(coded("fo"), "Zm8=");
  EXPECT_EQ(coded("foo"), "Zm9v");
  EXPECT_EQ(coded("foobar"), "Zm9vYmFy");
}

TEST(Explore, OfABrokenModelNamesTheModule) {
  nn::ResNet broken({.seed = std::nullopt}, {.device = open_device("cpu")});
  test::fill_by_name(broken);
  for (const nn::NamedTensor& named : broken.buffers())
    if (named.name == "layer4.0.bn1.running_var") Tensor(named.tensor).fill(-1);
  const nn::ModelInfo info{.vocabulary = {"a", "b", "c", "d", "e", "f"}, .resize = 32, .size = 32};
  try {
    explore_document(broken, data::Picture(32, 32), info, "p", {}, {.device = open_device("cpu")});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const nn::NotFinite& error) {
    EXPECT_EQ(error.cause.module, "layer4.0.bn1");
  }
}

TEST(ChannelImages, ValuesThatAreNotFiniteAreReportedAndShownAsZero) {
  ImageStore images;
  const Json text = describe_channels({.height = 1, .width = 2, .channels = 1, .values = {std::nan(""), 3}}, 1, images);
  EXPECT_EQ(text["not_finite"], 1);
  EXPECT_EQ(text["min"], 0);
  EXPECT_EQ(text["max"], 3);
}

TEST(ChannelImages, ShrinkingTakesMeansAlsoAtTheEdges) {
  const Channels small = shrunk({.height = 3, .width = 3, .channels = 1, .values = {1, 2, 3, 4, 5, 6, 7, 8, 9}}, 2);
  EXPECT_EQ(small.height, 2);
  EXPECT_EQ(small.values, (std::vector<double>{3, 4.5, 7.5, 9}));
}

}  // namespace
}  // namespace mirilla::pages
