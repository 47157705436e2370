// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "nn/files/model_file.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

constexpr int kSide = 32;

// A model, the same with one weight changed, and a picture.
class DiffCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    const nn::ModelInfo info{.vocabulary = {"buildings", "sea", "street"}, .resize = kSide, .size = kSide};
    nn::ResNet model({.classes = 3, .seed = 2}, {.device = open_device("cpu")});
    nn::save_model(*folder / "a.safetensors", model, info);
    Tensor weight = model.at("layer3.0.conv2").own_parameters()[0].tensor;
    std::vector<float> values = weight.to_vector<float>();
    values[1027] += 0.5f;  // the middle tap of channel 3
    weight.copy_from(from_host(values, weight.shape(), weight.device()));
    nn::save_model(*folder / "b.safetensors", model, info);
    data::write_png(*folder / "sea.png", data::draw_scene(data::SceneClass::kSea, 1, 3, kSide).picture);
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string a() { return *folder / "a.safetensors"; }
  static std::string b() { return *folder / "b.safetensors"; }
  static std::string photo() { return *folder / "sea.png"; }

  inline static std::unique_ptr<Folder> folder;
};

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is missing in\n" << text;
}

// The line of a table that begins with this name.
std::string line_of(const std::string& text, const std::string& name) {
  const size_t begin = text.find("\n" + name + "  ");
  return begin == std::string::npos ? "" : text.substr(begin + 1, text.find('\n', begin + 1) - begin - 1);
}

TEST_F(DiffCommand, OfAModelWithItselfIsZeroAndGivesCodeZero) {
  const Outcome outcome = run({"diff", a(), a(), photo()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  expect_words(outcome.out, {"activations: equal\n", "gradients: equal\n", "layer1.0.relu (call 2)", "BasicBlock", "(1,16,16,64)"});
  EXPECT_EQ(outcome.out.find("<-"), std::string::npos) << outcome.out;
  EXPECT_EQ(line_of(outcome.out, "layer1"), "") << "containers repeat their last child";
  EXPECT_NE(line_of(run({"diff", a(), a(), photo(), "--all"}).out, "layer1"), "");
}

TEST_F(DiffCommand, MarksWhereNumbersFirstDifferAndGivesCodeOne) {
  const Outcome outcome = run({"diff", a(), b(), photo()});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  expect_words(line_of(outcome.out, "layer3.0.conv2"), {"*", "<- first above 1e-05"});
  expect_words(outcome.out, {"activations: first differ at layer3.0.conv2, relative ", "; everything before it is equal", "\ngradients: "});
  EXPECT_EQ(run({"diff", a(), b(), photo(), "--tolerance", "1000"}).code, 0);
}

TEST_F(DiffCommand, ComparesDevicesAndPrecisions) {
  const Outcome devices = run({"diff", a(), a(), photo(), "--device-a", "reference", "--precision-a", "fp64"});
  EXPECT_EQ(devices.code, 0) << devices.out << devices.err;
  expect_words(devices.out, {"A: " + a() + ", resnet18 on reference in fp64", "on cpu in fp32",
                             "activations: within 1e-05; the largest difference is at"});
  const Outcome precisions = run({"diff", a(), a(), photo(), "--precision-b", "fp16"});
  EXPECT_EQ(precisions.code, 0) << precisions.out << precisions.err;
  expect_words(precisions.out, {"activations: within 0.005; ", "~"});
}

TEST_F(DiffCommand, TellsProgramsTheSame) {
  const Outcome outcome = run({"diff", a(), b(), photo(), photo(), "--train", "--parameters", "--loss", "--class", "sea", "--json"});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(document["first_activation"]["name"], "layer3.0.conv2");
  EXPECT_EQ(document["within"], false);
  EXPECT_EQ(document["mode"], "training");
  EXPECT_EQ(document["classes"], (Json{1, 1}));
  EXPECT_EQ(document["modules"][1]["name"], "conv1");
  EXPECT_EQ(document["modules"][1]["shape"], (Json{2, kSide / 2, kSide / 2, 64}));
  EXPECT_EQ(document["modules"][1]["activation"]["different"], 0);
  EXPECT_EQ(document["parameters"].size(), 66u);
  EXPECT_GT(document["buffers"].size(), 40u);
  const Outcome csv = run({"diff", a(), b(), photo(), "--csv"});
  EXPECT_EQ(csv.code, 1);
  expect_words(csv.out, {"part,name,call,kind,shape,value_largest", "\nmodule,layer1.0.relu,1,ReLU,\"(1,8,8,64)\",0,"});
}

TEST_F(DiffCommand, ReadsATraceThatWasMadeElsewhere) {
  const std::string dump = *folder / "trace.safetensors";
  EXPECT_EQ(run({"diff", a(), a(), photo(), "--class", "street", "--dump", dump}).code, 0);
  const Outcome equal = run({"diff", dump, a()});
  EXPECT_EQ(equal.code, 0) << equal.out << equal.err;
  expect_words(equal.out, {"gradients of the logit of class street", "activations: equal\n", "gradients: equal\n"});
  const Outcome apart = run({"diff", b(), dump});
  EXPECT_EQ(apart.code, 1);
  expect_words(line_of(apart.out, "layer3.0.conv2"), {"<- first above"});
  EXPECT_EQ(run({"diff", dump, dump}).code, 0);
  const std::string training = *folder / "training.safetensors";
  EXPECT_EQ(run({"diff", a(), a(), photo(), photo(), "--train", "--loss", "--parameters", "--dump", training}).code, 0);
  const Outcome as_traced = run({"diff", training, a()});
  EXPECT_EQ(as_traced.code, 0) << as_traced.out << as_traced.err;
  expect_words(as_traced.out, {"training mode; gradients of the cross entropy", "parameters' gradients: equal\n", "buffers: equal\n"});
  expect_words(run({"diff", dump, dump, photo()}).err, {"traces"});
  expect_words(run({"diff", dump, a(), "--dump", dump}).err, {"--dump", "this command reads it"});
}

TEST_F(DiffCommand, NamesTheModuleAndNotItsContainerInTheBackwardPass) {
  nn::ResNet other({.classes = 3, .head = nn::Head::torchvision, .seed = 5}, {.device = open_device("cpu")});
  nn::save_model(*folder / "c.safetensors", other, {.vocabulary = {"x", "y", "z"}, .resize = kSide, .size = kSide});
  const Outcome outcome = run({"diff", a(), *folder / "c.safetensors", photo()});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  expect_words(outcome.out, {"activations: first differ at conv1, ", "; everything before it is equal",
                             "\ngradients: first differ at layer4.1.relu (call 2), ", "only in A: head.0, ", "only in B: avgpool, fc\n"});
  expect_words(line_of(outcome.out, "layer4.1.relu (call 2)"), {"<- first gradient above 1e-05, in the backward pass"});
  EXPECT_EQ(outcome.out.find("everything before it is within"), std::string::npos) << outcome.out;
}

TEST_F(DiffCommand, TroubleIsCodeTwoAndASentence) {
  const auto expect_trouble = [](const Outcome& outcome, const std::vector<std::string>& words) {
    EXPECT_EQ(outcome.code, 2) << outcome.out << outcome.err;
    EXPECT_TRUE(outcome.out.empty() || nlohmann::json::parse(outcome.out).contains("error")) << outcome.out;  // so also with --json
    EXPECT_EQ(outcome.err.rfind("mirilla: ", 0), 0u) << outcome.err;
    expect_words(outcome.err, words);
  };
  expect_trouble(run({"diff", a()}), {"B"});
  expect_trouble(run({"diff", a(), b()}), {"picture"});
  expect_trouble(run({"diff", a(), *folder / "none.pth", photo()}), {"none.pth"});
  expect_trouble(run({"diff", a(), photo(), photo()}), {"sea.png"});
  expect_trouble(run({"diff", a(), b(), *folder / "none.png"}), {"none.png"});
  expect_trouble(run({"diff", a(), b(), photo(), "--train"}), {"two"});
  expect_trouble(run({"diff", a(), b(), photo(), "--class", "desert"}), {"desert", "buildings"});
  expect_trouble(run({"diff", a(), b(), photo(), "--precision", "fp64"}), {"fp64", "reference"});
  expect_trouble(run({"diff", a(), b(), photo(), "--device-b", "abacus"}), {"abacus"});
  expect_trouble(run({"diff", a(), b(), photo(), "--csv", "--json"}), {"--csv", "--json"});
  expect_trouble(run({"diff", a(), b(), photo(), "--tolerance", "-1"}), {"tolerance"});
}

}  // namespace
}  // namespace mirilla::apps
