// SPDX-License-Identifier: MIT
// How the program treats folder layouts that users have: one test per layout, with small drawn pictures.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

void draw(const fs::path& file, size_t c, int number) {
  fs::create_directories(file.parent_path());
  data::write_png(file.string(), data::draw_scene(static_cast<data::SceneClass>(c), 1, static_cast<uint32_t>(number), 32).picture);
}

// folder/<class>/<n>.png
void draw_classes(const fs::path& folder, const Strings& classes, int each, int from = 0) {
  for (size_t c = 0; c < classes.size(); ++c)
    for (int i = from; i < from + each; ++i) draw(folder / classes[c] / (std::to_string(i) + ".png"), c, i);
}

Outcome train(const std::string& data, const std::string& out, const Strings& more = {}) {
  Strings words{"train", "--data", data, "--resize", "32", "--size", "32", "--batch-size", "4", "--epochs", "1", "--out", out};
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

void expect_has(const std::string& text, const Strings& words) {
  for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is missing in\n" << text;
}

void expect_refused(const Outcome& outcome, const Strings& words) {
  EXPECT_EQ(outcome.code, 1) << outcome.out << outcome.err;
  expect_has(outcome.err, {"mirilla: ", "\n  hint: "});
  expect_has(outcome.err, words);
}

// A model of two classes, trained once for all tests here.
class DataLayout : public testing::Test {
 public:
  static void SetUpTestSuite() {
    home_ = std::make_unique<Folder>();
    draw_classes(home_->path() / "photos", {"ice", "sea"}, 10);
    const Outcome outcome = train(*home_ / "photos", *home_ / "out");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("note:"), std::string::npos) << "of tidy data nothing is said:\n" << outcome.err;
  }
  static void TearDownTestSuite() { home_.reset(); }

 protected:
  static std::string model() { return *home_ / "out/model.safetensors"; }
  static std::unique_ptr<Folder> home_;
  Folder folder_;
};
std::unique_ptr<Folder> DataLayout::home_;

TEST_F(DataLayout, BrokenLinksAreNamedAndTheOthersPredicted) {
  draw(folder_ / "links/a.png", 0, 1);
  draw(folder_ / "pool/b.png", 1, 2);
  fs::create_symlink("loop.png", folder_ / "links/loop.png");
  fs::create_symlink("nowhere.png", folder_ / "links/dangling.png");
  fs::create_directory_symlink(folder_ / "pool", folder_ / "links/pool");
  fs::create_directory_symlink("..", folder_ / "pool/round");
  const Outcome predicted = run({"predict", model(), folder_ / "links", "--json"});
  EXPECT_EQ(predicted.code, 0) << predicted.err;
  expect_has(predicted.err, {"loop.png: a link that is part of a circle", "dangling.png: a link that leads nowhere"});
  const auto document = nlohmann::json::parse(predicted.out);
  ASSERT_EQ(document.size(), 2u);
  EXPECT_EQ(document[0]["file"], folder_ / "links/a.png");
  EXPECT_EQ(document[1]["file"], folder_ / "links/pool/b.png");
  const Outcome explained = run({"gradcam", model(), folder_ / "links", "--layer", "layer2", "--out", folder_ / "sheet.png"});
  EXPECT_EQ(explained.code, 0) << explained.err;
  expect_has(explained.err, {"loop.png: a link that is part of a circle"});
  for (const char* command : {"predict", "gradcam"}) {
    const Outcome loop = run({command, model(), folder_ / "links/loop.png"});
    EXPECT_EQ(loop.code, 1);
    EXPECT_EQ(loop.err.find("filesystem"), std::string::npos) << loop.err;
  }
}

TEST_F(DataLayout, HiddenFilesAreSkippedByEveryCommand) {
  for (const char* junk : {".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", ".Trash-0/1.png", "__MACOSX/._0.png", "@eaDir/0.png/S.png"})
    for (const char* at : {"usb/", "set/ice/"}) spill(folder_ / (std::string(at) + junk), "junk");
  for (int i = 0; i < 3; ++i) draw(folder_ / fmt::format("usb/{}.png", i), 0, i);
  draw_classes(folder_ / "set", {"ice", "sea"}, 3);
  for (const Outcome& outcome : {run({"predict", model(), folder_ / "usb", "--csv"}),
                                 run({"gradcam", model(), folder_ / "usb", "--layer", "layer2", "--out", folder_ / "sheet.png"}),
                                 run({"eval", model(), "--data", folder_ / "set"})}) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("skipped"), std::string::npos) << outcome.err;
  }
}

TEST_F(DataLayout, ClassNamesThatAreNoUtf8Work) {
  const std::string forest = "for\xEAt", sea = "m\xE9r", other = "m\xE8r", escape = "a\x1b[31m";
  draw_classes(folder_ / "latin1", {forest, sea, other, escape}, 8);
  const Outcome trained = train(folder_ / "latin1", folder_ / "out", {"--json"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(trained.err.find("json.exception"), std::string::npos) << trained.err;
  EXPECT_EQ(trained.err.find('\x1b'), std::string::npos);
  expect_has(trained.err, {"for\\xEAt\" (\"forêt\" in Latin-1)"});
  const Strings names{"a\\x1B[31m", "for\\xEAt", "m\\xE8r", "m\\xE9r"};
  EXPECT_EQ(nlohmann::json::parse(slurp(folder_ / "out/config.json"))["vocab"], names);
  const Outcome measured = run({"eval", folder_ / "out/model.safetensors", "--data", folder_ / "latin1", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  EXPECT_EQ(nlohmann::json::parse(measured.out)["vocab"], names);
  EXPECT_EQ(nlohmann::json::parse(measured.out)["n"], 32);
  const Outcome predicted = run({"predict", folder_ / "out/model.safetensors", folder_ / "latin1", "--json"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_EQ(nlohmann::json::parse(predicted.out).size(), 32u);
  const Outcome explained = run({"gradcam", folder_ / "out/model.safetensors", folder_ / ("latin1/" + sea + "/0.png"), "--layer", "layer2",
                                 "--class", sea, "--json", "--out", folder_ / "cam.png"});
  ASSERT_EQ(explained.code, 0) << explained.err;
  EXPECT_EQ(nlohmann::json::parse(explained.out)["class"], "m\\xE9r");
}

TEST_F(DataLayout, ClassesThatAreAlikeAreReported) {
  draw_classes(folder_ / "blank", {"forest", "forest ", "sea"}, 6);
  const Outcome outcome = run(
      {"show-batch", "--data", folder_ / "blank", "--batch-size", "4", "--resize", "32", "--size", "32", "--out", folder_ / "batch.png"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  expect_has(outcome.err, {"note: 2 classes differ only in spaces", "\"forest\" and \"forest \""});
}

TEST_F(DataLayout, AClassWithoutAPictureIsRefused) {
  draw_classes(folder_ / "gone", {"ice", "sea"}, 25);
  spill(folder_ / "gone/street/1.jpg", "");
  spill(folder_ / "gone/street/2.jpg", "<html>");
  expect_refused(train(folder_ / "gone", folder_ / "out"), {"\"street\" has no picture left to train on"});
  fs::remove_all(folder_ / "gone/street");
  fs::create_directory(folder_ / "gone/street");
  expect_refused(train(folder_ / "gone", folder_ / "out"), {"\"street\" is one without a picture"});
  spill(folder_ / "gone/street/1.heic", "anything");
  expect_refused(train(folder_ / "gone", folder_ / "out"), {"\"street\" would be missing", "1 heic (street/1.heic)"});
  EXPECT_FALSE(fs::exists(folder_ / "out/model.safetensors"));
}

TEST_F(DataLayout, PartsAreKnownByAnyCapitalsAndToldOnTheFirstLine) {
  for (const auto& [train_part, test_part] :
       std::vector<std::pair<std::string, std::string>>{{"Train", "TESTING"}, {"seg_train/seg_train", "seg_test/seg_test"}}) {
    const Folder folder;
    draw_classes(folder / ("set/" + train_part), {"ice", "sea"}, 10);
    draw_classes(folder / ("set/" + test_part), {"ice", "sea"}, 3, 100);
    draw(folder / "set/seg_pred/seg_pred/1.png", 0, 200);
    const Outcome outcome = train(folder / "set", folder / "out");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out.substr(0, outcome.out.find('\n')).substr(0, 6), "data: ");
    expect_has(outcome.out.substr(0, outcome.out.find('\n')),
               {"16 pictures to train on, 4 to validate with, both from " + train_part + "/",
                test_part + "/ (6) is left for `mirilla eval`", "seg_pred/seg_pred/ (1) is not used"});
    const auto config = nlohmann::json::parse(slurp(folder / "out/config.json"));
    EXPECT_EQ(config["vocab"], (Strings{"ice", "sea"}));
    EXPECT_FALSE(config.contains("valid_part"));
    const Outcome measured = run({"eval", folder / "out/model.safetensors", "--data", folder / "set", "--json"});
    ASSERT_EQ(measured.code, 0) << measured.err;
    EXPECT_EQ(nlohmann::json::parse(measured.out)["n"], 6);
    expect_has(measured.err, {"6 pictures of " + test_part + "/"});
  }
}

TEST_F(DataLayout, TheValidationPartValidatesInTrainingAndInEval) {
  draw_classes(folder_ / "set/train", {"ice", "sea"}, 10);
  draw_classes(folder_ / "set/val", {"ice", "sea"}, 3, 50);
  const Outcome outcome = train(folder_ / "set", folder_ / "out");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_has(outcome.out, {"20 pictures to train on (train/), 6 to validate with (val/)\n", "ice 10+3, sea 10+3"});
  EXPECT_EQ(nlohmann::json::parse(slurp(folder_ / "out/config.json"))["valid_part"], "val/");
  const Outcome valid = run({"eval", folder_ / "out/model.safetensors", "--data", folder_ / "set", "--part", "valid", "--json"});
  ASSERT_EQ(valid.code, 0) << valid.err;
  EXPECT_EQ(nlohmann::json::parse(valid.out)["n"], 6);
  expect_has(valid.err, {"validation part: val/\n"});
  const Outcome all = run({"eval", folder_ / "out/model.safetensors", "--data", folder_ / "set", "--json"});
  EXPECT_EQ(nlohmann::json::parse(all.out)["n"], 26);
  expect_has(all.err, {"all 26 pictures, since it has no test/ part; this includes those of train/ and val/, which training used"});
  fs::rename(folder_ / "set/val", folder_ / "val");
  expect_refused(run({"eval", folder_ / "out/model.safetensors", "--data", folder_ / "set", "--part", "valid"}),
                 {"training validated with val/"});

  fs::rename(folder_ / "val", folder_ / "set/val");
  const Outcome share = train(folder_ / "set", folder_ / "share", {"--valid-pct", "0.2"});
  ASSERT_EQ(share.code, 0) << share.err;
  expect_has(share.out, {"16 pictures to train on, 4 to validate with, both from train/; val/ (6) is not used\n"});
  const Outcome again = run({"eval", folder_ / "share/model.safetensors", "--data", folder_ / "set", "--part", "valid", "--json"});
  EXPECT_EQ(nlohmann::json::parse(again.out)["n"], 4);
}

TEST_F(DataLayout, TheResultsFolderIsNoClass) {
  draw_classes(folder_ / "set", {"ice", "sea"}, 6);
  draw(folder_ / "set/out/loss.png", 0, 1);  // from an earlier training run
  const Outcome outcome = train(folder_ / "set", folder_ / "set/out");
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  expect_has(outcome.err, {"which lies among the classes of"});
}

// Made by hand or by an earlier version: what lies there is not read as one more class, by no command that reads classes.
TEST_F(DataLayout, AModelThatLiesInTheDataIsNoClass) {
  draw_classes(folder_ / "set", {"ice", "sea"}, 10);
  fs::copy(*home_ / "out", folder_ / "set/out", fs::copy_options::recursive);
  fs::copy(*home_ / "out", folder_ / "set/sea", fs::copy_options::recursive);  // among a class's own pictures
  ASSERT_TRUE(fs::exists(folder_ / "set/out/loss.png"));
  const Outcome outcome = train(folder_ / "set", folder_ / "out");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_has(outcome.err, {"note: 2 plots of an earlier run of Mirilla, in \"out\" and \"sea\", are left out\n"});
  expect_has(outcome.out, {"16 pictures to train on, 4 to validate with"});
  EXPECT_EQ(nlohmann::json::parse(slurp(folder_ / "out/config.json"))["vocab"], (Strings{"ice", "sea"}));
  EXPECT_TRUE(slurp(folder_ / "out/model.safetensors") == slurp(model())) << "as without it";
  const Outcome measured = run({"eval", model(), "--data", folder_ / "set", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  EXPECT_EQ(nlohmann::json::parse(measured.out)["n"], 20);
}

TEST_F(DataLayout, WhatIsNoZipIsNamed) {
  spill(folder_ / "photos.rar", std::string("Rar!\x1A\7\1\0", 8) + std::string(500, '\0'));
  expect_refused(train(folder_ / "photos.rar", folder_ / "out"), {"a RAR archive", "unrar x"});
  expect_refused(run({"eval", model(), "--data", folder_ / "photos.rar"}), {"a RAR archive"});
}

}  // namespace
}  // namespace mirilla::apps
