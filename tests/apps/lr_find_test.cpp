// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/pictures/decode.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

class LrFindCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    ASSERT_EQ(run({"scenes", "--out", *folder / "scenes.zip", "--per-class", "8", "--size", "40"}).code, 0);
    ASSERT_EQ(run({"train", "--data", *folder / "scenes.zip", "--resize", "40", "--size", "32", "--batch-size", "8", "--epochs", "1",
                   "--out", *folder / "model"})
                  .code,
              0);
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string model() { return *folder / "model/model.safetensors"; }
  static Outcome find(const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"lr-find",      "--data", *folder / "scenes.zip", "--resize", "40",    "--size",     "32",
                                       "--batch-size", "8",      "--iterations",         "40",       "--out", *folder / out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(LrFindCommand, PrintsFastaisSuggestionsAndWhatToRunNext) {
  const Outcome outcome = find("found", {"--weights", model()});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* words : {"frozen: ", "SuggestedLRs(valley=", ", slide=", ", minimum=", ", steep=",
                            "next, with the rate that valley suggests: mirilla train --data "})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << "'" << words << "' is missing in\n" << outcome.out;
  EXPECT_NE(outcome.out.find(" --weights " + model() + " --lr "), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find('\r'), std::string::npos) << "a pipe gets plain lines";
  EXPECT_GT(data::load_picture(*folder / "found/lr_find.png").width, 300);
  const std::string csv = slurp(*folder / "found/lr_find.csv");
  EXPECT_EQ(csv.find("iteration,lr,loss,smoothed_loss\n0,1e-07,"), 0u) << csv;
  EXPECT_FALSE(std::filesystem::exists(*folder / "found/model.safetensors"));
}

TEST_F(LrFindCommand, AnswersInJsonAndTheSameEachTime) {
  const Outcome first = find("json", {"--json", "--suggest", "steep,valley"}),
                second = find("json", {"--json", "--suggest", "steep,valley"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, second.out);
  const Json document = Json::parse(first.out);
  EXPECT_EQ(document["suggestions"].size(), 2u);
  EXPECT_EQ(document["lrs"].size(), document["iterations"]);
  EXPECT_EQ(document["losses"].size(), document["iterations"]);
  EXPECT_EQ(document["frozen"], false) << "there are no --weights";
  EXPECT_NE(first.err.find("next, with the rate that steep suggests"), std::string::npos) << first.err;
}

TEST_F(LrFindCommand, FreezesNothingIfUnfrozen) {
  const Json frozen = Json::parse(find("a", {"--json", "--weights", model()}).out);
  const Json unfrozen = Json::parse(find("b", {"--json", "--weights", model(), "--unfrozen"}).out);
  EXPECT_EQ(frozen["frozen"], true);
  EXPECT_EQ(unfrozen["frozen"], false);
  EXPECT_EQ(frozen["losses"][0], unfrozen["losses"][0]);
  EXPECT_NE(frozen["losses"][5], unfrozen["losses"][5]);
}

TEST_F(LrFindCommand, RefusesWrongUsageBeforeItTrains) {
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--suggest", "cliff"}, {"--iterations", "5"}, {"--start-lr", "0"}, {"--start-lr", "20"}}) {
    const Outcome outcome = find("wrong", wrong);
    EXPECT_EQ(outcome.code, 2) << outcome.out << outcome.err;
    EXPECT_NE(outcome.err.find("mirilla: "), std::string::npos) << outcome.err;
  }
}

TEST_F(LrFindCommand, PredictsAndEvaluatesWithTestTimeAugmentation) {
  const std::string photo = *folder / "found.png";
  std::filesystem::copy_file(*folder / "model/loss.png", photo);
  const auto said = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"predict", model(), photo, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)[0]["probabilities"];
  };
  EXPECT_EQ(said({"--tta"}), said({"--tta", "--tta-n", "4", "--tta-beta", "0.25"}));
  EXPECT_NE(said({"--tta"}), said({"--tta", "--seed", "43"}));
  EXPECT_NE(said({"--tta"}), said({}));
  EXPECT_EQ(run({"predict", model(), photo, "--tta-n", "4"}).code, 2) << "without --tta it would do nothing";
  EXPECT_EQ(run({"predict", model(), photo, "--tta", "--tta-beta", "2"}).code, 2);

  const Outcome evaluated = run({"eval", model(), "--data", *folder / "scenes.zip", "--tta", "--tta-n", "2", "--json"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const Json document = Json::parse(evaluated.out),
             plain = Json::parse(run({"eval", model(), "--data", *folder / "scenes.zip", "--json"}).out);
  EXPECT_EQ(document["n"], plain["n"]);
  EXPECT_NE(document["loss"], plain["loss"]);
  EXPECT_NEAR(document["accuracy"].get<double>(), document["correct"].get<double>() / document["n"].get<double>(), 1e-12);
}

}  // namespace
}  // namespace mirilla::apps
