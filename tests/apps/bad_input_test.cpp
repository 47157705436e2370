// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "kernels/cuda/device.h"
#include "tests/apps/expectations.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> quick_training(const std::string& data, const std::string& out) {
  return {"train", "--data", data, "--resize", "32", "--size", "32", "--batch-size", "4", "--epochs", "1", "--out", out};
}

TEST(Usage, IsWrongWithCodeTwoAndASentence) {
  expect_failure(run({}), 2, {"subcommand", "--help"});
  expect_failure(run({"train", "--epochs", "many"}), 2, {"epochs", "mirilla train --help"});
  expect_failure(run({"train", "--no-such-option"}), 2, {"--no-such-option", "mirilla train"});
  expect_failure(run({"train", "--epochs", "0"}), 2, {"epoch"});
  expect_failure(run({"train", "--arch", "resnet19"}), 2, {"resnet18"});
  expect_failure(run({"predict"}), 2, {"MODEL"});
}

TEST(Usage, HelpIsEverywhere) {
  EXPECT_NE(run({"--help"}).out.find("gradcam"), std::string::npos);
  for (const char* command : {"show-batch", "train", "lr-find", "predict", "eval", "interpret", "gradcam", "cam-bench", "explore", "serve",
                              "scenes", "summary", "diff"}) {
    const Outcome outcome = run({command, "--help"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("--device"), std::string::npos) << outcome.out;
  }
  EXPECT_NE(run({"--version"}).out.find("libjpeg-turbo"), std::string::npos);
}

TEST(Usage, VersionTellsOfEachDeviceAndWhyOneIsMissing) {
  const std::string text = run({"--version"}).out;
  for (const char* device : {"\n  cuda: ", "\n  cpu: ", "\n  simt: ", "\n  reference: "}) {
    const size_t found = text.find(device);
    ASSERT_NE(found, std::string::npos) << device << " is missing in\n" << text;
    EXPECT_EQ(text.find(device, found + 1), std::string::npos) << "twice in\n" << text;
  }
  EXPECT_NE(text.find(cuda::unavailable().empty() ? "sm_" : cuda::version_line()), std::string::npos) << text;
}

TEST(Usage, ADeviceThatIsNotThereIsAnErrorAndNoFallback) {
  const Folder folder;
  if (!cuda::unavailable().empty())
    expect_failure(run({"train", "--device", "cuda", "--out", folder / "out"}), 1, {"the device 'cuda'", cuda::unavailable()});
  expect_failure(run({"train", "--device", "abacus", "--out", folder / "out"}), 1, {"abacus", "cpu"});
}

TEST(BadData, AnArchiveThatIsMissingEmptyOrCorruptIsNamed) {
  const Folder folder;
  spill(folder / "empty.zip", "");
  spill(folder / "text.zip", "this is not a zip at all, though it is called one");
  for (const auto& [file, word] :
       std::vector<std::pair<std::string, std::string>>{{"missing.zip", "no such"}, {"empty.zip", "empty"}, {"text.zip", "zip"}}) {
    const Outcome outcome = run(quick_training(folder / file, folder / "out"));
    expect_failure(outcome, 1, {file});
  }
  const Outcome scenes = run({"scenes", "--out", folder / "good.zip", "--per-class", "2", "--size", "16"});
  ASSERT_EQ(scenes.code, 0);
  const std::string good = slurp(folder / "good.zip");
  spill(folder / "cut.zip", good.substr(0, good.size() / 2));
  expect_failure(run(quick_training(folder / "cut.zip", folder / "out")), 1, {"cut.zip"});
}

TEST(BadData, OneClassIsNotEnough) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea"}, 8);
  expect_failure(run(quick_training(folder / "photos", folder / "out")), 1, {"class"});
  EXPECT_FALSE(fs::exists(folder / "out/model.safetensors"));
}

TEST(BadData, FewerPicturesThanABatchIsReported) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea", "street"}, 3);
  std::vector<std::string> arguments = quick_training(folder / "photos", folder / "out");
  arguments.insert(arguments.end(), {"--batch-size", "6"});
  arguments.erase(std::find(arguments.begin(), arguments.end(), "--batch-size"), std::find(arguments.begin(), arguments.end(), "4") + 1);
  expect_failure(run(arguments), 1, {"batch", "--batch-size"});
}

TEST(BadData, NothingToValidateWithIsReported) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea", "street"}, 2);
  expect_failure(run(quick_training(folder / "photos", folder / "out")), 1, {"validate", "--valid-pct"});
}

TEST(BadData, APictureThatDoesNotDecodeIsListedAndSkipped) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea", "street"}, 15);
  spill(folder / "photos/sea/broken.png", "no picture");
  const Outcome outcome = run(quick_training(folder / "photos", folder / "out"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("skipped sea/broken.png"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(folder / "out/model.safetensors"));
}

TEST(BadData, TooManyOfThemAreAnError) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea", "street"}, 10);
  spill(folder / "photos/sea/broken1.png", "no picture");
  spill(folder / "photos/sea/broken2.png", "no picture either");
  expect_failure(run(quick_training(folder / "photos", folder / "out")), 1, {"broken1.png", "5 %"});
}

TEST(BadModel, AFileThatIsNoModelIsNamed) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea"}, 1);
  const std::string photo = folder / "photos/sea/0.png";
  spill(folder / "text.pth", "certainly no weights");
  expect_failure(run({"predict", folder / "none.pth", photo}), 1, {"none.pth"});
  expect_failure(run({"predict", folder / "text.pth", photo}), 1, {"text.pth"});
  const std::string hostile = MIRILLA_SOURCE_DIR "/tests/oracle/weights/os_system_global.pth";
  expect_failure(run({"predict", hostile, photo}), 1, {"os_system_global.pth", "system"});
}

TEST(BadModel, HintsNameTheFlagsOfTheCommandThatWasGiven) {
  const Folder folder;
  ASSERT_EQ(run({"scenes", "--out", folder / "photos.zip", "--per-class", "1", "--size", "16"}).code, 0);
  draw_photos(folder / "photos", {"sea", "street"}, 10);
  expect_failure(run({"train", "--data", folder / "photos", "--weights", folder / "photos.zip", "--out", folder / "out"}), 1,
                 {"give pictures as --data, weights as --weights"});
  expect_failure(run({"predict", folder / "photos.zip", folder / "photos/sea/0.png"}), 1,
                 {"as `mirilla train --data`, weights as `mirilla train --weights`"});
}

TEST(BadModel, OtherWeightsAreAnErrorBeforeTraining) {
  const Folder folder;
  draw_photos(folder / "photos", {"sea", "street"}, 10);
  std::vector<std::string> arguments = quick_training(folder / "photos", folder / "out");
  arguments.insert(arguments.end(), {"--weights", MIRILLA_SOURCE_DIR "/tests/oracle/weights/plain.pth"});
  const Outcome outcome = run(arguments);
  expect_failure(outcome, 1, {"plain.pth"});
  EXPECT_FALSE(fs::exists(folder / "out/model.safetensors"));
}

TEST(BadOutput, AFolderThatCannotBeCreatedIsReportedAtOnce) {
  const Folder folder;
  spill(folder / "file", "in the way");
  expect_failure(run({"train", "--out", folder / "file"}), 1, {"file", "--out"});
  expect_failure(run({"train", "--out", "/proc/mirilla"}), 1, {"/proc/mirilla"});
  expect_failure(run({"scenes", "--per-class", "1", "--size", "16", "--out", folder / "none/there.zip"}), 1, {"none/there.zip"});
}

TEST(Interrupt, BeforeTheFirstEpochLeavesNothingHalfWritten) {
  const Folder folder;
  ASSERT_EQ(run({"scenes", "--out", folder / "s.zip", "--per-class", "40", "--size", "64"}).code, 0);
  Running training({"train", "--data", folder / "s.zip", "--resize", "64", "--size", "64", "--batch-size", "8", "--epochs", "500", "--out",
                    folder / "out"},
                   folder.path());
  ASSERT_TRUE(training.wait_for_output("time: about"));
  training.interrupt();
  EXPECT_EQ(training.wait().code, 130);
  EXPECT_FALSE(fs::exists(folder / "out/model.safetensors"));
  expect_no_leftovers(folder.path());
}

}  // namespace
}  // namespace mirilla::apps
