// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/archive/archive.h"
#include "data/pictures/decode.h"
#include "data/scenes/scenes.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// A small set of scenes and a model trained on it, once for all tests below.
class Pipeline : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    ASSERT_EQ(run({"scenes", "--out", zip(), "--per-class", "16", "--size", "40"}).code, 0);
    trained =
        run({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "16", "--epochs", "2", "--out", *folder / "out"});
    ASSERT_EQ(trained.code, 0) << trained.err;
    const auto source = data::open_source(zip());
    for (const char* name : {"test/sea/0000.png", "test/sea/0001.png", "test/street/0000.png"}) {
      const std::vector<uint8_t> bytes = source->read(name);
      spill(*folder / fmt::format("photos/{}", name), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string zip() { return *folder / "scenes.zip"; }
  static std::string model() { return *folder / "out/model.safetensors"; }
  static std::string photo() { return *folder / "photos/test/sea/0000.png"; }

  inline static std::unique_ptr<Folder> folder;
  inline static Outcome trained;
};

TEST_F(Pipeline, TrainPrintsFastaisTableAndSaysWhatToRunNext) {
  EXPECT_NE(trained.out.find("epoch     train_loss  valid_loss  accuracy  time"), std::string::npos) << trained.out;
  EXPECT_NE(trained.out.find("\n0         "), std::string::npos) << trained.out;
  EXPECT_NE(trained.out.find("Better model found at epoch 0 with valid_loss value: "), std::string::npos);
  for (const char* word : {"buildings", "device: ", "time: about", "no frozen phase", "next: mirilla eval"})
    EXPECT_NE(trained.out.find(word), std::string::npos) << word << " is missing in\n" << trained.out;
  EXPECT_EQ(trained.out.find('\r'), std::string::npos) << "a pipe gets plain lines";
}

TEST_F(Pipeline, TrainLeavesItsFourFilesAndNoOthers) {
  EXPECT_EQ(files_in(*folder / "out"), (std::vector<std::string>{"config.json", "history.csv", "loss.png", "model.safetensors"}));
  const Json config = Json::parse(slurp(*folder / "out/config.json"));
  EXPECT_EQ(config["size"], 32);
  EXPECT_EQ(config["vocab"].size(), 6u);
  EXPECT_EQ(config["train"].get<int>() + config["valid"].get<int>(), 96);
  const std::string history = slurp(*folder / "out/history.csv");
  EXPECT_EQ(std::count(history.begin(), history.end(), '\n'), 3) << history;
  EXPECT_GT(data::load_picture(*folder / "out/loss.png").width, 300);
}

TEST_F(Pipeline, TheSameSeedAndThreadsGiveTheSameModelToTheByte) {
  const Outcome again = run({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "16", "--epochs", "2", "--json",
                             "--out", *folder / "again"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(slurp(*folder / "again/model.safetensors") == slurp(model()));
  const Json document = Json::parse(again.out);  // nothing but the document is on stdout
  EXPECT_EQ(document["model"], *folder / "again/model.safetensors");
  EXPECT_TRUE(document["best"]["accuracy"].is_number());
}

TEST_F(Pipeline, ShowBatchDrawsWhatTrainingShowsFirst) {
  const std::vector<std::string> data{"show-batch", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "16"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), data.begin(), data.end());
    return run(more);
  };
  const Outcome outcome = with({"--n", "4", "--json", "--out", *folder / "batch.png"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(document["part"], "train");
  EXPECT_EQ(document["batch"], 16);
  ASSERT_EQ(document["pictures"].size(), 4u);
  for (const Json& one : document["pictures"]) {
    EXPECT_NE(one["file"].get<std::string>().find("train/" + one["class"].get<std::string>() + "/"), std::string::npos) << one;
    EXPECT_TRUE(one["draw"]["degrees"].is_number());
  }
  EXPECT_GE(data::load_picture(*folder / "batch.png").width, 2 * 256);  // small pictures are enlarged
  const Json variants = Json::parse(with({"--unique", "3", "--json", "--out", *folder / "unique.png"}).out);
  EXPECT_EQ(variants["pictures"].size(), 3u);
  EXPECT_EQ(variants["pictures"][0]["file"], variants["pictures"][2]["file"]);
  const Outcome valid = with({"--valid", "--out", *folder / "valid.png"});
  EXPECT_NE(valid.out.find("valid.png: 9 of the 16 pictures of the first validation batch"), std::string::npos) << valid.out << valid.err;
  EXPECT_EQ(with({"--valid", "--unique", "3"}).code, 2);
  EXPECT_NE(run({"show-batch", "--help"}).out.find("--unique"), std::string::npos);
  const Outcome large = run({"show-batch", "--data", zip(), "--out", *folder / "large.png"});
  EXPECT_EQ(large.code, 1);
  EXPECT_NE(large.err.find("fewer than one batch of 128"), std::string::npos) << large.err;
}

TEST_F(Pipeline, GradcamOfAFolderIsAContactSheetAndOfAllLayersAFilmStrip) {
  const Outcome sheet =
      run({"gradcam", model(), *folder / "photos", "--size", "64", "--colormap", "jet", "--json", "--out", *folder / "sheet.png"});
  ASSERT_EQ(sheet.code, 0) << sheet.err;
  const Json document = Json::parse(sheet.out);
  ASSERT_EQ(document["pictures"].size(), 3u);
  EXPECT_EQ(document["pictures"][0]["file"], photo());
  EXPECT_EQ(document["sheets"], Json::array({*folder / "sheet.png"}));
  EXPECT_GT(data::load_picture(*folder / "sheet.png").width, 3 * 320);
  const Outcome film = run({"gradcam", model(), photo(), "--size", "64", "--layers", "all", "--json", "--out", *folder / "film.png"});
  ASSERT_EQ(film.code, 0) << film.err;
  const Json layers = Json::parse(film.out)["layers"];
  ASSERT_EQ(layers.size(), 10u);
  EXPECT_EQ(layers[0]["layer"], "relu");
  EXPECT_EQ(layers[9]["layer"], "layer4");
  EXPECT_GT(data::load_picture(*folder / "film.png").width, 11 * 144);
}

TEST_F(Pipeline, GradcamOfSeveralPicturesRefusesWhatGoesWithOne) {
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"gradcam", model(), photo(), photo(), "--size", "64", "--out", *folder / "no.png"});
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 2) << outcome.err;
  };
  refused({"--class", "sea", "--class", "street"});
  refused({"--layers", "some"});
  refused({"--layers", "all", "--layer", "layer4"});
  refused({"--colormap", "rainbow"});
  EXPECT_EQ(run({"gradcam", model(), *folder / "nowhere", photo(), "--out", *folder / "no.png"}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(*folder / "no.png"));
}

TEST_F(Pipeline, ExploreWritesOnePageWithEverythingInIt) {
  const Outcome outcome = run({"explore", model(), photo(), "--size", "64", "--class", "sea", "--json", "--out", *folder / "page.html"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  const std::string page = slurp(*folder / "page.html");
  EXPECT_EQ(document["bytes"], page.size());
  EXPECT_EQ(document["classes"].size(), 6u);
  EXPECT_GT(document["captures"], document["modules"]);  // a block's relu runs twice
  EXPECT_LT(page.size(), 15000000u);
  EXPECT_EQ(page.find("http"), page.find("http-equiv"));
  EXPECT_EQ(run({"explore", model(), photo(), "--class", "desert", "--out", *folder / "never.html"}).code, 2);
  EXPECT_EQ(run({"explore", model(), *folder / "nowhere.png", "--out", *folder / "never.html"}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(*folder / "never.html"));
}

TEST_F(Pipeline, ServeListensAtThisMachineAloneUntilCtrlC) {
  const Folder own;
  Running server({"serve", model(), "--port", "0", "--json"}, own.path());
  if (!server.wait_for_output("}\n")) {
    EXPECT_NE(server.wait().err.find("cpp-httplib"), std::string::npos);
    return;
  }
  const std::string text = slurp(own / "stdout");
  const std::string address = Json::parse(text)["address"];
  ASSERT_TRUE(address.starts_with("http://127.0.0.1:")) << address;
  const std::string port = address.substr(17, address.size() - 18);
  const Outcome second = run({"serve", model(), "--port", port});
  EXPECT_EQ(second.code, 1);
  EXPECT_NE(second.err.find("cannot listen on"), std::string::npos) << second.err;
  server.interrupt();
  EXPECT_EQ(server.wait().code, 0);
}

TEST_F(Pipeline, PredictGivesEachClassItsProbability) {
  const Outcome outcome = run({"predict", model(), photo(), *folder / "photos/test/street", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  ASSERT_EQ(document.size(), 2u);
  EXPECT_EQ(document[0]["file"], photo());
  for (const Json& picture : document) {
    double total = 0, largest = 0;
    std::string likeliest;
    for (const auto& [name, p] : picture["probabilities"].items()) {
      total += p.get<double>();
      if (p > largest) largest = p, likeliest = name;
    }
    EXPECT_NEAR(total, 1, 1e-5);
    EXPECT_EQ(picture["label"], likeliest);
    EXPECT_EQ(data::kSceneClasses[picture["index"].get<size_t>()], likeliest);
  }
}

TEST_F(Pipeline, PredictPrintsTextAndCsvOfTheSameAnswer) {
  const std::string label = Json::parse(run({"predict", model(), photo(), "--json"}).out)[0]["label"];
  const Outcome text = run({"predict", model(), photo(), "--top-k", "2"});
  EXPECT_EQ(text.out.find(photo() + ": " + label + " "), 0u) << text.out;
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '%'), 2);
  const Outcome csv = run({"predict", model(), photo(), "--csv"});
  EXPECT_EQ(csv.out.find("file,label,index,buildings,forest,glacier,mountain,sea,street\n" + photo() + "," + label + ","), 0u) << csv.out;
  EXPECT_EQ(run({"predict", model(), photo(), "--csv", "--json"}).code, 2);
}

TEST_F(Pipeline, EvalCountsWhatPredictSays) {
  const Outcome outcome = run({"eval", model(), "--data", zip(), "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(document["n"], 24);  // a fifth of 16, rounded up, times six
  int total = 0, trace = 0;
  for (size_t row = 0; row < 6; ++row) {
    const auto counts = document["confusion"][row].get<std::vector<int>>();
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), 4);
    total += std::accumulate(counts.begin(), counts.end(), 0);
    trace += document["confusion"][row][row].get<int>();
  }
  EXPECT_EQ(total, 24);
  EXPECT_EQ(document["correct"], trace);
  EXPECT_NEAR(document["accuracy"].get<double>(), trace / 24.0, 1e-9);
  // The row of the class sea, from its pictures, by predict.
  const Json predicted = Json::parse(run({"predict", model(), *folder / "photos/test/sea", "--json"}).out);
  for (const Json& picture : predicted) EXPECT_GT(document["confusion"][4][picture["index"].get<size_t>()], 0);
}

TEST_F(Pipeline, EvalPlaysThePointingGame) {
  const Json document = Json::parse(run({"eval", model(), "--data", zip(), "--pointing", "--size", "64", "--json"}).out);
  const Json& pointing = document["pointing"];
  EXPECT_EQ(pointing["n"], document["correct"]);
  EXPECT_LE(pointing["hits"], pointing["n"]);
  EXPECT_GT(pointing["random"].get<double>(), 0.05);
  EXPECT_LT(pointing["random"].get<double>(), 0.35);
}

TEST_F(Pipeline, InterpretSaysWhereTheModelIsWrong) {
  const Outcome outcome = run(
      {"interpret", model(), "--data", zip(), "--size", "64", "--out", *folder / "why", "--top", "4", "--layer", "model[0][-2]", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out), eval = Json::parse(run({"eval", model(), "--data", zip(), "--size", "64", "--json"}).out);
  for (const char* key : {"n", "correct", "accuracy", "loss", "confusion"}) EXPECT_EQ(document[key], eval[key]) << key;
  EXPECT_EQ(document["classes"]["sea"]["support"], 4);
  int confused = 0;
  for (const Json& pair : document["most_confused"]) confused += pair["count"].get<int>();
  EXPECT_EQ(confused, 24 - eval["correct"].get<int>());
  const Json& losses = document["top_losses"];
  ASSERT_EQ(losses.size(), 4u);
  EXPECT_GE(losses[0]["loss"].get<double>(), losses[3]["loss"].get<double>());
  EXPECT_NE(losses[0]["path"].get<std::string>().find("test/" + losses[0]["actual"].get<std::string>() + "/"), std::string::npos);
  EXPECT_EQ(files_in(*folder / "why"), (std::vector<std::string>{"confusion.csv", "confusion.png", "most_confused.csv", "report.csv",
                                                                 "top_losses.csv", "top_losses.png"}));
  const data::Picture sheet = data::load_picture(*folder / "why/top_losses.png");
  EXPECT_GT(sheet.width, 3 * 400);
  EXPECT_EQ(slurp(*folder / "why/confusion.csv").find("actual\\predicted,buildings,forest,glacier,mountain,sea,street\nbuildings,"), 0u);
}

TEST_F(Pipeline, InterpretPrintsScikitLearnsReport) {
  const Outcome outcome = run({"interpret", model(), "--data", zip(), "--size", "64", "--out", *folder / "report", "--normalize"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* words : {"of 24 correct: accuracy ", "\n              precision    recall  f1-score   support\n\n   buildings  ",
                            "\nweighted avg  ", "confusion.png"})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words << " is missing in\n" << outcome.out;
}

TEST_F(Pipeline, InterpretSaysWhatItCannotDo) {
  const auto refused = [&](std::vector<std::string> more, int code, std::string_view word) {
    more.insert(more.begin(), {"interpret", model(), "--data", zip()});
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  };
  refused({}, 2, "--out");
  refused({"--out", *folder / "no", "--layer", "layer9"}, 2, "layer9");
  refused({"--out", *folder / "no", "--valid-pct", "0.3"}, 2, "--part valid");
  refused({"--out", *folder / "no", "--top", "0"}, 2, "--top");
  refused({"--out", model()}, 1, "choose another place with --out");
  EXPECT_FALSE(std::filesystem::exists(*folder / "no/confusion.csv"));
  std::filesystem::create_directories(*folder / "odd");
  std::filesystem::copy_file(model(), *folder / "odd/model.safetensors");
  for (const char* config : {"not JSON", R"({"valid_pct": "much"})"}) {
    spill(*folder / "odd/config.json", config);
    const Outcome outcome = run({"eval", *folder / "odd/model.safetensors", "--data", zip(), "--part", "valid"});
    EXPECT_EQ(outcome.code, 1) << config;
    EXPECT_NE(outcome.err.find("config.json"), std::string::npos) << outcome.err;
  }
}

TEST_F(Pipeline, EvalOfTheValidationPartGivesTheAccuracyThatTrainingSaw) {
  const Outcome outcome = run({"eval", model(), "--data", zip(), "--part", "valid", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out), config = Json::parse(slurp(*folder / "out/config.json"));
  EXPECT_EQ(document["n"], config["valid"]);
  const std::string said = fmt::format("validation accuracy {:.4f}", document["accuracy"].get<double>());
  EXPECT_NE(trained.out.find(said), std::string::npos) << said << " is missing in\n" << trained.out;
  EXPECT_NE(outcome.err.find("a share of 0.2"), std::string::npos) << outcome.err;

  // config.json beside the model takes effect, and options override it.
  std::filesystem::create_directories(*folder / "moved");
  std::filesystem::copy_file(model(), *folder / "moved/model.safetensors");
  spill(*folder / "moved/config.json", R"({"valid_pct": 0.5, "limit": 4})");
  const auto pictures = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", *folder / "moved/model.safetensors", "--data", zip(), "--part", "valid", "--json"});
    return Json::parse(run(more).out)["n"].get<int>();
  };
  EXPECT_EQ(pictures({}), 12);
  EXPECT_EQ(pictures({"--valid-pct", "0.25", "--limit", "0"}), 24);
  spill(*folder / "list.txt", "train/sea/0000.png\ntrain/street/0001.png\n");
  EXPECT_EQ(pictures({"--split-file", *folder / "list.txt"}), 2);
}

// height, width and values of one of our .npy files
std::vector<float> read_npy(const std::string& path, const std::string& shape) {
  const std::string bytes = slurp(path);
  EXPECT_EQ(bytes.substr(0, 6), "\x93NUMPY");
  EXPECT_NE(bytes.find(shape), std::string::npos) << bytes.substr(0, 128);
  std::vector<float> values((bytes.size() - 128) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + 128, values.size() * sizeof(float));
  return values;
}

TEST_F(Pipeline, GradcamDrawsTwoLayersBesideThePicture) {
  const Outcome outcome =
      run({"gradcam", model(), photo(), "--size", "64", "--out", *folder / "cam.png", "--npy", *folder / "cam.npy", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json document = Json::parse(outcome.out);
  ASSERT_EQ(document["layers"].size(), 2u);
  EXPECT_EQ(document["layers"][0]["layer"], "layer4");
  const std::vector<float> layer4 = read_npy(*folder / "cam.layer4.npy", "(2, 2)");
  const std::vector<float> layer3 = read_npy(*folder / "cam.layer3.npy", "(4, 4)");
  EXPECT_EQ(layer4.size(), 4u);
  EXPECT_EQ(layer3.size(), 16u);
  EXPECT_FLOAT_EQ(*std::max_element(layer3.begin(), layer3.end()), document["layers"][1]["max"].get<float>());
  const data::Picture figure = data::load_picture(*folder / "cam.png");
  EXPECT_GT(figure.width, 2 * figure.height) << "three panels side by side";
}

TEST_F(Pipeline, GradcamKnowsFastaisNamesForLayers) {
  const auto map = [&](const std::string& layer) {
    const std::string npy = *folder / "one.npy";
    const Outcome outcome =
        run({"gradcam", model(), photo(), "--size", "64", "--layer", layer, "--class", "sea", "--out", *folder / "one.png", "--npy", npy});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return slurp(npy);
  };
  EXPECT_TRUE(map("model[0]") == map("layer4"));
  EXPECT_TRUE(map("model[0][-2]") == map("layer3"));
  EXPECT_FALSE(map("layer2") == map("layer3"));
}

TEST_F(Pipeline, ThePapersStyleIsTheCoursesWithAReLU) {
  const auto map = [&](const std::string& style) {
    const std::string npy = *folder / "style.npy";
    EXPECT_EQ(run({"gradcam", model(), photo(), "--size", "64", "--layer", "layer3", "--style", style, "--class", "0", "--out",
                   *folder / "s.png", "--npy", npy})
                  .code,
              0);
    return read_npy(npy, "(4, 4)");
  };
  const std::vector<float> course = map("course"), paper = map("paper");
  EXPECT_LT(*std::min_element(course.begin(), course.end()), 0) << "this picture cannot tell the two apart";
  for (size_t i = 0; i < course.size(); ++i) EXPECT_EQ(paper[i], std::max(course[i], 0.0f));
}

TEST_F(Pipeline, GradcamHasAMethodForEveryName) {
  std::set<std::string> maps;
  for (const char* method : {"gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigencam", "eigengradcam", "scorecam",
                             "ablationcam", "guided", "guided-gradcam", "integrated", "smoothgrad", "occlusion"}) {
    const Outcome outcome = run(
        {"gradcam",   model(), photo(),    "--size", "64",    "--layer",         "layer3", "--class",         "sea",   "--method", method,
         "--samples", "2",     "--window", "32",     "--out", *folder / "m.png", "--npy",  *folder / "m.npy", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(Json::parse(outcome.out)["method"], method);
    EXPECT_GT(data::load_picture(*folder / "m.png").width, 500);
    maps.insert(slurp(*folder / "m.npy"));
  }
  EXPECT_EQ(maps.size(), 14u) << "two methods gave the same map";
}

TEST_F(Pipeline, GradcamComparesClassesAndFusesLayers) {
  const auto explained = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"gradcam", model(), photo(), "--size", "64", "--json", "--out", *folder / "c.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out);
  };
  const Json both = explained({"--class", "sea", "--class", "street", "--layer", "layer3", "--npy", *folder / "c.npy"});
  ASSERT_EQ(both["explanations"].size(), 2u);
  EXPECT_EQ(both["explanations"][1]["class"], "street");
  const Json difference = explained({"--class", "sea", "--minus", "street", "--layer", "layer3", "--npy", *folder / "d.npy"});
  EXPECT_EQ(difference["minus"], "street");
  const std::vector<float> sea = read_npy(*folder / "c.sea.npy", "(4, 4)"), street = read_npy(*folder / "c.street.npy", "(4, 4)"),
                           rather = read_npy(*folder / "d.npy", "(4, 4)");
  for (size_t i = 0; i < sea.size(); ++i) EXPECT_NEAR(rather[i], sea[i] - street[i], 1e-4 * (1 + std::abs(sea[i])));
  for (const char* how : {"mean", "max"}) {
    const Json fused = explained({"--fuse", how, "--smooth"});
    ASSERT_EQ(fused["layers"].size(), 1u);
    EXPECT_EQ(fused["layers"][0]["layer"], "layer4+layer3");
    EXPECT_EQ(fused["layers"][0]["height"], 64);
    EXPECT_LE(fused["layers"][0]["max"], 1);
  }
}

TEST_F(Pipeline, GradcamRefusesWhatItCannotExplain) {
  const auto refused = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"gradcam", model(), photo(), "--size", "64", "--out", *folder / "never.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_NE(outcome.code, 0);
    EXPECT_FALSE(std::filesystem::exists(*folder / "never.png"));
    return outcome.err;
  };
  EXPECT_NE(refused({"--method", "magic"}).find("magic"), std::string::npos);
  EXPECT_NE(refused({"--minus", "sea"}).find("--minus needs a --class"), std::string::npos);
  EXPECT_NE(refused({"--class", "moon"}).find("--class: expected a class name"), std::string::npos);
  EXPECT_NE(refused({"--method", "occlusion", "--window", "65"}).find("a window from 1 to 64"), std::string::npos);
  EXPECT_NE(refused({"--method", "ablationcam", "--layer", "layer3.0.bn1"}).find("cannot continue from 'layer3.0.bn1'"), std::string::npos);
  EXPECT_NE(refused({"--layer", "head.4"}).find("a layer with several places"), std::string::npos);
}

TEST_F(Pipeline, SummaryCountsWhatPyTorchCounts) {
  const Json document = Json::parse(run({"summary", model(), "--size", "224", "--json"}).out);
  const Json& modules = document["modules"];
  const auto at = [&](const std::string& name) {
    return *std::find_if(modules.begin(), modules.end(), [&](const Json& m) { return m["name"] == name; });
  };
  EXPECT_EQ(at("layer4")["parameters"], 8393728);
  EXPECT_EQ(at("")["parameters"], 11176512 + 530432);                     // torchvision's body, fastai's head for six classes
  EXPECT_EQ(at("conv1")["multiply_adds"], 118013952);                     // 112 * 112 * 64 * 7 * 7 * 3
  EXPECT_EQ(at("")["multiply_adds"], 1813561344 + 1024 * 512 + 512 * 6);  // ResNet18 without fc: 1.81 G
  EXPECT_EQ(at("layer3")["output"], Json({1, 14, 14, 256}));
  EXPECT_NE(run({"summary", model()}).out.find("layer1.0.conv1"), std::string::npos);
}

TEST_F(Pipeline, TheReferenceDeviceAgreesWithTheFastOne) {
  const Json fast = Json::parse(run({"predict", model(), photo(), "--json"}).out)[0]["probabilities"];
  const Json slow = Json::parse(run({"predict", model(), photo(), "--json", "--device", "reference"}).out)[0]["probabilities"];
  for (const auto& [name, p] : fast.items()) EXPECT_NEAR(p.get<double>(), slow[name].get<double>(), 1e-4);
}

TEST_F(Pipeline, PretrainedWeightsTrainInTwoPhases) {
  const Outcome outcome = run({"train", "--data", zip(), "--weights", model(), "--resize", "40", "--size", "32", "--batch-size", "16",
                               "--epochs", "1", "--out", *folder / "tuned"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  size_t heads = 0;
  for (size_t at = 0; (at = outcome.out.find("epoch     train_loss", at)) != std::string::npos; ++at) ++heads;
  EXPECT_EQ(heads, 2u) << outcome.out;
}

}  // namespace
}  // namespace mirilla::apps
