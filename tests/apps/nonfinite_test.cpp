// SPDX-License-Identifier: MIT
// Models, pictures and training runs with numbers that are not finite: what each command says, and which files it leaves.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/archive/archive.h"
#include "data/write/png_write.h"
#include "tests/apps/program.h"
#include "weights/safetensors.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Change = std::function<void(std::vector<float>&)>;

// Sets all values, or one.
Change all(float value) {
  return [=](std::vector<float>& values) { std::fill(values.begin(), values.end(), value); };
}
Change one(float value) {
  return [=](std::vector<float>& values) { values.at(values.size() / 2) = value; };
}

struct Broken {
  std::string name;    // of the file
  std::string tensor;  // the tensor that is changed
  Change change;
  std::string module;  // the module that the message must name
};

// Small scenes, a model of them, and the same model broken in many ways.
class NonFinite : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    ASSERT_EQ(run({"scenes", "--out", zip(), "--per-class", "16", "--size", "40"}).code, 0);
    const Outcome trained = run(training({"--epochs", "1", "--out", *folder / "good"}));
    ASSERT_EQ(trained.code, 0) << trained.err;
    const auto source = data::open_source(zip());
    for (const char* name : {"test/sea/0000.png", "test/sea/0001.png"}) {
      const std::vector<uint8_t> bytes = source->read(name);
      spill(*folder / fmt::format("photos/{}", fs::path(name).filename().string()),
            {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::vector<std::string> training(std::vector<std::string> more) {
    more.insert(more.begin(), {"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "16"});
    return more;
  }
  static std::string zip() { return *folder / "scenes.zip"; }
  static std::string good() { return *folder / "good/model.safetensors"; }
  static std::string photo() { return *folder / "photos/0000.png"; }

  static std::vector<Broken> broken() {
    return {{"nan", "layer4.1.conv2.weight", all(NAN), "layer4.1.conv2"},
            {"nan-one", "bn1.running_var", one(NAN), "bn1"},
            {"conv-inf", "layer2.0.conv1.weight", one(INFINITY), "layer2.0.conv1"},
            {"norm", "layer1.1.bn2.weight", one(NAN), "layer1.1.bn2"},
            {"bias", "layer3.0.bn1.bias", one(INFINITY), "layer3.0.bn1"},
            {"mean", "layer3.1.bn1.running_mean", one(NAN), "layer3.1.bn1"},
            {"negative", "layer1.0.bn1.running_var", one(-1), "layer1.0.bn1"},
            {"short", "layer2.0.downsample.0.weight", all(INFINITY), "layer2.0.downsample.0"},
            {"hidden", "head.4.weight", one(NAN), "head.4"},
            {"class", "head.8.weight", one(NAN), "head.8"}};
  }
  static std::string file_of(const Broken& model) {
    const std::string path = *folder / (model.name + ".safetensors");
    if (fs::exists(path)) return path;
    weights::StateDict changed;
    const weights::StateDict whole = weights::read_safetensors(good());
    changed.metadata = whole.metadata;
    for (const auto& [name, array] : whole) {
      std::vector<float> values = weights::to_f32(array);
      if (name == model.tensor) model.change(values);
      changed.add(name, weights::Array::from(array.shape(), std::span<const float>(values)));
    }
    weights::write_safetensors(path, changed);
    return path;
  }

  // Exit code 1, one sentence with these words, the same as JSON.
  static Json expect_refusal(std::vector<std::string> arguments, const std::vector<std::string>& words) {
    const std::string command = fmt::format("{} {}", arguments[0], arguments[1]);
    arguments.push_back("--json");
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 1) << command << "\n" << outcome.out << outcome.err;
    for (const std::string& word : words)
      EXPECT_NE(outcome.err.find(word), std::string::npos) << command << ": " << word << "\n" << outcome.err;
    const Json document = Json::parse(outcome.out, nullptr, false);
    EXPECT_TRUE(document.is_object()) << command << "\n" << outcome.out;
    if (!document.is_object()) return Json::object();
    EXPECT_NE(outcome.err.find("mirilla: " + document["error"].get<std::string>()), std::string::npos) << document;
    return document;
  }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(NonFinite, WeightsAreRefusedByEveryCommandThatReadsThem) {
  const std::string file = file_of(broken()[1]), out = *folder / "refused";
  const std::vector<std::vector<std::string>> commands = {
      {"predict", file, photo()},
      {"eval", file, "--data", zip()},
      {"interpret", file, "--data", zip(), "--out", out},
      {"gradcam", file, photo(), "--out", out + ".png"},
      {"cam-bench", file, "--data", zip()},
      {"explore", file, photo(), "--out", out + ".html"},
      {"serve", file, "--port", "0"},
      {"summary", file},
      training({"--weights", file, "--out", out}),
      {"lr-find", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "16", "--weights", file, "--out", out},
      training({"--init-head", file_of(broken()[9]), "--out", out})};
  for (const auto& command : commands) {
    const Json document =
        expect_refusal(command, {"contains weights that no network can compute with", "values is NaN)", "--allow-nonfinite"});
    EXPECT_EQ(document["tensors"].size(), 1u) << document;
    EXPECT_EQ(document["tensors"][0]["nan"], 1) << document;
  }
  EXPECT_FALSE(fs::exists(out + "/config.json"));
  EXPECT_FALSE(fs::exists(out + "/model.safetensors"));
  const Outcome diff = run({"diff", good(), file, photo()});
  EXPECT_EQ(diff.code, 2) << "diff's trouble";
  EXPECT_NE(diff.err.find("bn1.running_var (1 of 64 values is NaN)"), std::string::npos) << diff.err;
}

TEST_F(NonFinite, EachBrokenModelIsWarnedOfAndEndsAtItsFirstModule) {
  for (const Broken& model : broken()) {
    const std::string file = file_of(model);
    const Json document =
        expect_refusal({"predict", file, photo(), "--allow-nonfinite"},
                       {"warning: ", model.tensor, photo() + ": the logits are not finite: " + model.module, "wrote the first"});
    EXPECT_EQ(document["module"], model.module) << model.name;
    EXPECT_EQ(document["overflow"], false) << model.name;
    EXPECT_EQ(document["pictures"], Json::array({photo()})) << model.name;
  }
}

TEST_F(NonFinite, LogitsEndEveryCommandThatComputes) {
  const Broken model = broken()[0];
  const std::string file = file_of(model), out = *folder / "ended";
  const std::vector<std::vector<std::string>> commands = {{"eval", file, "--data", zip()},
                                                          {"eval", file, "--data", zip(), "--tta", "--tta-n", "1"},
                                                          {"interpret", file, "--data", zip(), "--out", out},
                                                          {"gradcam", file, photo(), "--out", out + ".png"},
                                                          {"gradcam", file, *folder / "photos", "--out", out + ".png"},
                                                          {"gradcam", file, photo(), "--method", "occlusion", "--out", out + ".png"},
                                                          {"cam-bench", file, "--data", zip()},
                                                          {"explore", file, photo(), "--out", out + ".html"}};
  for (std::vector<std::string> command : commands) {
    command.push_back("--allow-nonfinite");
    const Json document =
        expect_refusal(command, {".png", "the logits are not finite: layer4.1.conv2 wrote the first NaN; its weight is not finite"});
    EXPECT_EQ(document["module"], "layer4.1.conv2") << document;
    EXPECT_EQ(document["wrote"], "NaN") << document;
    EXPECT_FALSE(document["pictures"].empty()) << document;
  }
  EXPECT_TRUE(!fs::exists(out) || fs::is_empty(out)) << "results of what came to nothing";
  EXPECT_FALSE(fs::exists(out + ".png"));
  EXPECT_FALSE(fs::exists(out + ".html"));
  const Outcome summary = run({"summary", file, "--allow-nonfinite"});
  EXPECT_EQ(summary.code, 0) << summary.err;
  EXPECT_NE(summary.err.find("warning: "), std::string::npos) << summary.err;
  const Outcome same = run({"diff", file, file, photo(), "--allow-nonfinite"});
  EXPECT_EQ(same.code, 0) << same.err;
  EXPECT_NE(same.out.find("not finite: A from layer4.1.conv2 on, B from layer4.1.conv2 on; values that are NaN"), std::string::npos)
      << same.out;
  const Outcome other = run({"diff", good(), file, photo(), "--allow-nonfinite", "--json"});
  EXPECT_EQ(other.code, 1) << other.err;
  EXPECT_EQ(Json::parse(other.out)["not_finite"], Json({{"a", nullptr}, {"b", "layer4.1.conv2"}}));
}

// Bright pictures overflow in fp16 after the first norm, dark ones become 0 in its ReLU.
TEST_F(NonFinite, AnOverflowInFp16IsReportedAndTheOtherPicturesHaveTheirAnswers) {
  Broken first{"bright", "conv1.weight", all(1), ""};
  const std::string half_way = file_of(first);
  weights::StateDict changed;
  const weights::StateDict whole = weights::read_safetensors(half_way);
  changed.metadata = whole.metadata;
  for (const auto& [name, array] : whole) {
    std::vector<float> values = weights::to_f32(array);
    if (name == "bn1.weight") all(1e4f)(values);
    if (name == "bn1.running_var") all(1)(values);
    if (name == "bn1.running_mean" || name == "bn1.bias") all(0)(values);
    changed.add(name, weights::Array::from(array.shape(), std::span<const float>(values)));
  }
  const std::string file = *folder / "overflow.safetensors";
  weights::write_safetensors(file, changed);
  for (const auto& [name, level] : {std::pair{"a-dark", 0}, std::pair{"b-bright", 255}, std::pair{"c-dark", 0}}) {
    data::Picture picture(40, 40);
    std::fill(picture.pixels.begin(), picture.pixels.end(), static_cast<uint8_t>(level));
    fs::create_directories(*folder / "levels");
    data::write_png(*folder / fmt::format("levels/{}.png", name), picture);
  }
  const std::string bright = *folder / "levels/b-bright.png";
  const Json alone =
      expect_refusal({"predict", file, bright, "--precision", "fp16"},
                     {bright + ": the logits are not finite: bn1 wrote the first infinity\n", "overflow", "65504", "--precision fp32"});
  EXPECT_EQ(alone["overflow"], true);
  EXPECT_EQ(run({"predict", file, bright, "--precision", "fp32"}).code, 0);
  EXPECT_EQ(run({"predict", file, bright, "--precision", "bf16"}).code, 0);

  const Outcome folder_of_them = run({"predict", file, *folder / "levels", "--precision", "fp16"});
  EXPECT_EQ(folder_of_them.code, 1);
  EXPECT_NE(folder_of_them.out.find("a-dark.png: "), std::string::npos) << folder_of_them.out;
  EXPECT_NE(folder_of_them.out.find("c-dark.png: "), std::string::npos) << folder_of_them.out;
  EXPECT_EQ(folder_of_them.out.find("b-bright"), std::string::npos) << folder_of_them.out;
  EXPECT_NE(folder_of_them.err.find("b-bright.png: the logits are not finite: bn1 wrote"), std::string::npos) << folder_of_them.err;
  const Outcome as_json = run({"predict", file, *folder / "levels", "--precision", "fp16", "--json"});
  EXPECT_EQ(as_json.code, 1);
  const Json answers = Json::parse(as_json.out);
  ASSERT_EQ(answers.size(), 3u) << answers;
  EXPECT_TRUE(answers[0]["label"].is_string());
  EXPECT_TRUE(answers[2]["label"].is_string());
  EXPECT_EQ(answers[1]["file"], bright);
  EXPECT_EQ(answers[1]["module"], "bn1");
  EXPECT_FALSE(answers[1].contains("label"));
}

// --- Training ----------------------------------------------------------------------------------------------------------------------------

std::string config_and_model(const fs::path& folder) { return slurp(folder / "config.json") + slurp(folder / "model.safetensors"); }

TEST_F(NonFinite, ADivergedTrainingStopsAndEndsWithCodeOneAndNoModel) {
  const std::string out = *folder / "diverged";
  const Outcome outcome = run(training({"--lr", "1e9", "--epochs", "50", "--out", out, "--json"}));
  EXPECT_EQ(outcome.code, 1) << outcome.out << outcome.err;
  EXPECT_NE(outcome.err.find("mirilla: the training diverged in epoch "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("use a smaller learning rate: --lr (`mirilla lr-find` suggests one)"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("\n10        "), std::string::npos) << "nothing finite could come any more\n" << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_TRUE(document["model"].is_null()) << document;
  EXPECT_TRUE(document["error"].get<std::string>().starts_with("the training diverged in epoch ")) << document;
  EXPECT_FALSE(fs::exists(out + "/model.safetensors"));
  EXPECT_TRUE(fs::exists(out + "/history.csv")) << "what is known of it";
}

TEST_F(NonFinite, ARunInTheFolderOfAnotherLeavesNoStaleFile) {
  const std::string out = *folder / "again";
  fs::copy(*folder / "good", out, fs::copy_options::recursive);
  const std::string first = config_and_model(out);
  const Outcome diverged = run(training({"--lr", "1e9", "--epochs", "2", "--out", out}));
  EXPECT_EQ(diverged.code, 1) << diverged.err;
  EXPECT_FALSE(fs::exists(out + "/model.safetensors")) << "the earlier run's model";
  EXPECT_FALSE(fs::exists(out + "/loss.png") && slurp(out + "/loss.png") == slurp(out + "/earlier/loss.png")) << "the earlier run's losses";
  EXPECT_EQ(Json::parse(slurp(out + "/config.json"))["lr"], 1e9);
  EXPECT_NE(diverged.err.find(out + " contained an earlier run: its model and its other files are now in " + out + "/earlier"),
            std::string::npos)
      << diverged.err;
  EXPECT_EQ(config_and_model(out + "/earlier"), first) << "which is whole";
  EXPECT_EQ(slurp(out + "/earlier/history.csv"), slurp(*folder / "good/history.csv"));
  EXPECT_EQ(run({"eval", out + "/earlier/model.safetensors", "--data", zip(), "--part", "valid"}).code, 0);

  EXPECT_EQ(run(training({"--lr", "1e9", "--epochs", "1", "--out", out})).code, 1);
  EXPECT_EQ(config_and_model(out + "/earlier"), first) << "a run without a model takes no model's place";
  const Outcome fine = run(training({"--epochs", "1", "--out", out}));
  EXPECT_EQ(fine.code, 0) << fine.err;
  EXPECT_EQ(fine.err.find("earlier"), std::string::npos) << fine.err;
  EXPECT_EQ(slurp(out + "/model.safetensors"), slurp(good()));
  EXPECT_EQ(config_and_model(out + "/earlier"), first);
}

TEST_F(NonFinite, ARunThatFailsBeforeItBeginsLeavesAllAsItWas) {
  const std::string out = *folder / "kept";
  fs::copy(*folder / "good", out, fs::copy_options::recursive);
  const std::string first = config_and_model(out);
  EXPECT_EQ(run(training({"--weights", *folder / "nowhere.pth", "--out", out})).code, 1);
  EXPECT_EQ(run(training({"--weights", file_of(broken()[0]), "--out", out})).code, 1);
  EXPECT_EQ(run({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "4000", "--out", out}).code, 1);
  EXPECT_EQ(config_and_model(out), first);
  EXPECT_FALSE(fs::exists(out + "/earlier"));
}

TEST_F(NonFinite, TrainingFromBrokenWeightsIsAllowedOnRequestAndSavesNoneOfThem) {
  const std::string out = *folder / "poisoned";
  const Outcome outcome = run(training({"--weights", file_of(broken()[1]), "--allow-nonfinite", "--epochs", "2", "--out", out}));
  EXPECT_EQ(outcome.code, 1) << outcome.out;
  EXPECT_NE(outcome.err.find("warning: "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("the training diverged in epoch 0 (of 0 to 0, frozen): bn1.running_var (1 of 64 values is NaN)"),
            std::string::npos)
      << outcome.err;
  EXPECT_NE(outcome.err.find("hint: the weights were not finite before training began"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("learning rate"), std::string::npos) << "a smaller one mends no weights\n" << outcome.err;
  EXPECT_FALSE(fs::exists(out + "/model.safetensors"));
}

}  // namespace
}  // namespace mirilla::apps
