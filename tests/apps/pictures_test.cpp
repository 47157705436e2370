// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

bool has(const std::string& text, std::string_view words) { return text.find(words) != std::string::npos; }

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Photos of two classes, two of them bad or odd, and a model that was trained on them.
class Pictures : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    const auto draw = [](const std::string& path, int label, uint32_t number) {
      const auto scene = data::draw_scene(static_cast<data::SceneClass>(label), 1, number, 40);
      fs::create_directories(fs::path(path).parent_path());
      data::write_png(path, scene.picture);
    };
    for (uint32_t i = 0; i < 6; ++i) {
      draw(*folder / ("photos/sea/" + std::to_string(i) + ".png"), 0, i);
      draw(*folder / ("photos/street/" + std::to_string(i) + ".png"), 1, i);
    }
    spill(*folder / "photos/sea/cut.png", slurp(*folder / "photos/sea/0.png").substr(0, 200));
    spill(turned(), slurp(MIRILLA_SOURCE_DIR "/tests/oracle/data/exif.jpg"));  // its EXIF orientation is 6
    trained = run(training(*folder / "out") + Words{"--json"});
    ASSERT_EQ(trained.code, 0) << trained.err;
  }
  static void TearDownTestSuite() { folder.reset(); }

  static Words training(const std::string& out) {
    return {"train", "--data", *folder / "photos", "--resize", "64", "--size", "64", "--batch-size", "4", "--epochs", "1", "--out", out};
  }
  static std::string model() { return *folder / "out/model.safetensors"; }
  static std::string good(int number) { return *folder / ("photos/street/" + std::to_string(number) + ".png"); }
  static std::string cut() { return *folder / "photos/sea/cut.png"; }
  static std::string turned() { return *folder / "turned.jpg"; }
  static Json json_of(const Words& words) {
    const Outcome outcome = run(words + Words{"--json"});
    return Json::parse(outcome.out, nullptr, false);
  }

  inline static std::unique_ptr<Folder> folder;
  inline static Outcome trained;
};

TEST_F(Pictures, ASmallSetLosesOnePictureAndSaysWhich) {
  EXPECT_TRUE(has(trained.err, "skipped sea/cut.png: ")) << trained.err;
  EXPECT_TRUE(has(trained.err, "cut off (was it copied completely?)")) << trained.err;
  const Json document = Json::parse(trained.out);
  ASSERT_EQ(document["skipped"].size(), 1u);
  EXPECT_EQ(document["skipped"][0]["file"], "sea/cut.png");
  EXPECT_TRUE(has(document["skipped"][0]["error"], "cut off"));
  EXPECT_FALSE(document.contains("turned"));
  EXPECT_FALSE(Json::parse(slurp(*folder / "out/config.json")).contains("exif_rotate"));
}

TEST_F(Pictures, MaxBadSaysHowManyMayBeLost) {
  const Outcome none = run(training(*folder / "none") + Words{"--max-bad", "0"});
  EXPECT_EQ(none.code, 1);
  EXPECT_TRUE(has(none.err, "1 of 13 pictures does not decode, more than the allowed 0 %")) << none.err;
  EXPECT_TRUE(has(none.err, "--max-bad allows more")) << none.err;
  EXPECT_EQ(run(training(*folder / "none") + Words{"--max-bad", "2"}).code, 2);
  EXPECT_EQ(run({"eval", model(), "--data", *folder / "photos", "--max-bad", "0"}).code, 1);
}

TEST_F(Pictures, EvaluationsNameWhatTheyLeaveOut) {
  for (const Words& command : std::vector<Words>{{"eval", model()}, {"interpret", model(), "--out", *folder / "why"}}) {
    const Outcome outcome = run(command + Words{"--data", *folder / "photos", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const Json document = Json::parse(outcome.out, nullptr, false);
    EXPECT_EQ(document["n"], 12) << outcome.out;
    ASSERT_EQ(document["skipped"].size(), 1u) << outcome.out;
    EXPECT_EQ(document["skipped"][0]["file"], "sea/cut.png");
    EXPECT_TRUE(has(outcome.err, "skipped sea/cut.png: ")) << outcome.err;
  }
}

TEST_F(Pictures, PredictGivesTheGoodOnesNamesTheBadAndEndsWithOne) {
  const Outcome outcome = run({"predict", model(), good(0), cut(), good(1)});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2) << outcome.out;
  EXPECT_TRUE(has(outcome.out, good(0) + ": ") && has(outcome.out, good(1) + ": ")) << outcome.out;
  EXPECT_TRUE(has(outcome.err, "skipped " + cut() + ": the ")) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "mirilla: 1 of 3 pictures could not be read")) << outcome.err;
  EXPECT_EQ(outcome.out, run({"predict", model(), good(0), good(1)}).out);
  const Json document = json_of({"predict", model(), good(0), cut(), good(1)});
  ASSERT_EQ(document.size(), 3u);
  EXPECT_EQ(document[0]["file"], good(0));
  EXPECT_EQ(document[1]["file"], cut());
  EXPECT_TRUE(has(document[1]["error"], "cut off")) << document;
  EXPECT_FALSE(document[1].contains("label"));
  EXPECT_TRUE(document[2]["label"].is_string());
}

TEST_F(Pictures, PredictOfNothingButBadOnesGivesNoAnswer) {
  spill(*folder / "heic-named.jpg", std::string("\0\0\0\x18"
                                                "ftypheic\0\0\0\0mif1heic",
                                                24) +
                                        std::string(400, '\0'));
  spill(*folder / "page.jpg", "<html>");
  const Outcome one = run({"predict", model(), *folder / "heic-named.jpg"});
  EXPECT_EQ(one.code, 1);
  EXPECT_EQ(one.out, "");
  EXPECT_TRUE(has(one.err, "heic-named.jpg: this is a HEIC photo, not a picture of a supported kind\n  hint: save it as JPEG")) << one.err;
  const Outcome two = run({"predict", model(), *folder / "heic-named.jpg", *folder / "page.jpg", "--csv"});
  EXPECT_EQ(two.code, 1);
  EXPECT_EQ(two.out, "");
  EXPECT_TRUE(has(two.err, "page.jpg: this is a web page")) << two.err;
  EXPECT_TRUE(has(two.err, "2 of 2 pictures could not be read")) << two.err;
  EXPECT_EQ(json_of({"predict", model(), *folder / "page.jpg"}).size(), 1u);
}

TEST_F(Pictures, GradcamContinuesAfterABadPicture) {
  const Words command{"gradcam", model(), good(0), cut(), good(1), "--out", *folder / "sheet.png", "--json"};
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(has(outcome.err, "mirilla: 1 of 3 pictures could not be read")) << outcome.err;
  const Json document = Json::parse(outcome.out, nullptr, false);
  EXPECT_EQ(document["pictures"].size(), 2u) << outcome.out;
  ASSERT_EQ(document["skipped"].size(), 1u) << outcome.out;
  EXPECT_EQ(document["skipped"][0]["file"], cut());
  EXPECT_TRUE(fs::exists(*folder / "sheet.png"));
  const Outcome none = run({"gradcam", model(), cut(), cut(), "--out", *folder / "nothing.png"});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.out, "");
  EXPECT_FALSE(fs::exists(*folder / "nothing.png"));
}

TEST_F(Pictures, ATurnedPhotoIsRemarkedOnceAndTurnedWhereAskedTo) {
  const Outcome stored = run({"predict", model(), turned(), turned()});
  EXPECT_EQ(stored.code, 0);
  EXPECT_TRUE(has(stored.err, "note: the EXIF data of 2 pictures asks for a rotation; they are used as stored")) << stored.err;
  EXPECT_TRUE(has(stored.err, "--exif-rotate")) << stored.err;
  const Outcome upright = run({"predict", model(), turned(), "--exif-rotate"});
  EXPECT_EQ(upright.code, 0);
  EXPECT_EQ(upright.err, "");
  const Json seen = json_of({"predict", model(), turned()})[0], straight = json_of({"predict", model(), turned(), "--exif-rotate"})[0];
  EXPECT_EQ(seen["exif_orientation"], 6);
  EXPECT_EQ(seen["exif_rotated"], false);
  EXPECT_EQ(straight["exif_rotated"], true);
  EXPECT_NE(seen["probabilities"], straight["probabilities"]);
  EXPECT_FALSE(json_of({"predict", model(), good(0)})[0].contains("exif_orientation"));
  for (const Words& command : std::vector<Words>{{"gradcam", model(), turned(), "--out", *folder / "t.png"},
                                                 {"gradcam", model(), turned(), turned(), "--out", *folder / "t.png"},
                                                 {"explore", model(), turned(), "--classes", "1", "--out", *folder / "t.html"},
                                                 {"diff", model(), model(), turned()}}) {
    EXPECT_TRUE(has(run(command).err, "asks for a rotation")) << command[0];
    EXPECT_FALSE(has(run(command + Words{"--exif-rotate"}).err, "asks for a rotation")) << command[0];
  }
}

TEST_F(Pictures, AModelRemembersThatItsPhotosWereTurned) {
  for (const char* label : {"sea", "street"}) {
    fs::create_directories(fs::path(*folder / "phone") / label);
    for (const char* number : {"1", "2", "3", "4", "5"})
      fs::copy_file(fs::path(*folder / "photos") / label / (std::string(number) + ".png"),
                    fs::path(*folder / "phone") / label / (std::string(number) + ".png"));
  }
  fs::copy_file(turned(), *folder / "phone/sea/6.jpg");
  const Words data{"--data", *folder / "phone", "--resize", "32", "--size", "32", "--batch-size", "4"};
  const Outcome shown = run(Words{"show-batch", "--json", "--out", *folder / "batch.png"} + data);
  EXPECT_TRUE(has(shown.err, "note: the EXIF data of 1 picture asks for a rotation; it is used as stored")) << shown.err;
  EXPECT_EQ(Json::parse(shown.out, nullptr, false)["turned"], 1) << shown.out;

  const Outcome outcome = run(Words{"train", "--exif-rotate", "--epochs", "1", "--out", *folder / "upright"} + data);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(has(outcome.err, "asks for a rotation")) << outcome.err;
  EXPECT_EQ(Json::parse(slurp(*folder / "upright/config.json"))["exif_rotate"], true);
  const std::string remembering = *folder / "upright/model.safetensors";
  const Json usual = json_of({"predict", remembering, turned()})[0];
  EXPECT_EQ(usual["exif_rotated"], true);
  EXPECT_EQ(usual, json_of({"predict", remembering, turned(), "--exif-rotate"})[0]);
  EXPECT_EQ(json_of({"predict", remembering, turned(), "--no-exif-rotate"})[0]["exif_rotated"], false);
}

}  // namespace
}  // namespace mirilla::apps
