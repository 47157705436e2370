// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/devices.h"
#include "nn/files/model_file.h"
#include "tests/apps/expectations.h"
#include "weights/pth.h"
#include "weights/safetensors.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

// A ResNet18 of two classes as torchvision names it, and with fastai's head.
class WeightsCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    for (const auto& [name, head] : {std::pair("fc.safetensors", nn::Head::torchvision), std::pair("head.safetensors", nn::Head::fastai)}) {
      const nn::ResNet model({.arch = "resnet18", .classes = 2, .head = head, .seed = 1}, {.device = open_device("cpu")});
      nn::save_model(std::string(*folder / name), model, {.vocabulary = {"sea", "forest"}});
    }
  }
  static void TearDownTestSuite() { folder.reset(); }
  static std::string at(const std::string& name) { return *folder / name; }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(WeightsCommand, InspectTellsTheNetworkAndEachTensor) {
  const Outcome outcome = run({"weights", "inspect", at("head.safetensors"), "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(document.at("architecture"), "resnet18");
  EXPECT_EQ(document.at("classes"), 2);
  const Json& first = document.at("tensors").at(0);
  EXPECT_EQ(first.at("name"), "conv1.weight");
  EXPECT_EQ(first.at("shape"), Json::parse("[64,3,7,7]"));
  EXPECT_GT(first.at("norm").get<double>(), 1);
  EXPECT_EQ(first.at("nan"), 0);
  EXPECT_NE(run({"weights", "inspect", at("fc.safetensors")}).out.find("resnet18 with 2 classes in torchvision's fc"), std::string::npos);
}

TEST_F(WeightsCommand, ConvertToPthAndBackIsEqualInEveryBit) {
  for (const std::string name : {"fc", "head"}) {
    ASSERT_EQ(run({"weights", "convert", at(name + ".safetensors"), at(name + ".pth")}).code, 0);
    const Outcome outcome = run({"weights", "diff", at(name + ".safetensors"), at(name + ".pth")});
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
    EXPECT_NE(outcome.out.find(" 0 differ, 0 are in one file only"), std::string::npos) << outcome.out;
    EXPECT_EQ(run({"weights", "verify", at(name + ".pth")}).code, 0);
  }
  EXPECT_TRUE(weights::read_pth(at("head.pth")).contains("0.4.0.conv1.weight"));  // fastai's names
  EXPECT_TRUE(weights::read_pth(at("fc.pth")).contains("layer1.0.conv1.weight"));
  EXPECT_EQ(run({"weights", "diff", at("fc.pth"), at("head.pth")}).code, 1);
}

TEST_F(WeightsCommand, VerifyShowsWhatIsMissingBesideTheMostSimilarName) {
  weights::StateDict state;
  for (const auto& [name, array] : weights::read_safetensors(at("fc.safetensors")))
    state.add(name == "layer4.1.bn2.weight" ? "layer4.1.bn2.wieght" : name, array);
  weights::write_safetensors(at("typo.safetensors"), state);
  const Outcome outcome = run({"weights", "verify", at("typo.safetensors")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.out.find("  layer4.1.bn2.weight  similar: layer4.1.bn2.wieght\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("it does not fit"), std::string::npos);
  const Json document = Json::parse(run({"weights", "verify", at("typo.safetensors"), "--json"}).out);
  EXPECT_FALSE(document.at("fits"));
  EXPECT_EQ(document.at("missing").at(0).at("similar"), "layer4.1.bn2.wieght");
}

TEST_F(WeightsCommand, NothingIsOverwrittenUnasked) {
  spill(at("notes.pth"), "not weights");
  expect_failure(run({"weights", "convert", at("fc.safetensors"), at("notes.pth")}), 2, {"notes.pth"});
  EXPECT_EQ(slurp(at("notes.pth")), "not weights");
  expect_failure(run({"weights", "convert", at("fc.safetensors"), at("fc.safetensors")}), 2, {"this command reads it"});
  expect_failure(run({"weights", "convert", at("fc.safetensors"), at("fc.txt")}), 2, {".pth", ".safetensors"});
  expect_failure(run({"weights", "convert", at("head.safetensors"), at("x.pth"), "--names", "torchvision"}), 1,
                 {"no place in torchvision's"});
  EXPECT_FALSE(std::filesystem::exists(at("x.pth")));
  expect_failure(run({"weights", "inspect", at("notes.pth")}), 1, {"notes.pth"});
  expect_failure(run({"weights"}), 2, {"weights"});
}

}  // namespace
}  // namespace mirilla::apps
