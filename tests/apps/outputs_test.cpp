// SPDX-License-Identifier: MIT
// Input files are never overwritten, nor are files of a kind that we would not write.
#include "apps/outputs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/apps/expectations.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;

class OutputsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made = std::make_unique<Folder>();
    save_small_model(*made / "model.safetensors", {"sea", "street"});
    draw_photos(fs::path(*made / "photos"), {"sea", "street"}, 4);
    ASSERT_EQ(run({"scenes", "--out", *made / "scenes.zip", "--per-class", "2", "--size", "16"}).code, 0);
  }
  static void TearDownTestSuite() { made.reset(); }

  void SetUp() override { fs::copy(made->path(), folder_.path(), fs::copy_options::recursive); }

  std::string at(std::string_view name) const { return folder_ / name; }
  std::string model() const { return at("model.safetensors"); }
  std::string photo() const { return at("photos/sea/0.png"); }

  // Expects that the command refuses to overwrite the file, and that the file does not change.
  void expect_kept(const std::string& file, const std::vector<std::string>& command, const std::vector<std::string>& words = {}) {
    const std::string before = slurp(file);
    ASSERT_FALSE(before.empty()) << file;
    const Outcome outcome = run(command);
    expect_failure(outcome, 2, words);
    EXPECT_TRUE(slurp(file) == before) << file << " was changed by " << command[0];
    expect_no_leftovers(folder_.path());
  }

  Folder folder_;
  inline static std::unique_ptr<Folder> made;
};

TEST_F(OutputsTest, AreNoInputByWhateverName) {
  fs::create_symlink(photo(), at("link.png"));
  fs::create_hard_link(photo(), at("hard.png"));
  fs::create_symlink(folder_.path(), at("round"));
  for (const std::string& name :
       {photo(), at("photos/../photos/./sea/0.png"), at("link.png"), at("hard.png"), at("round/photos/sea/0.png")})
    expect_kept(photo(), {"gradcam", model(), photo(), "--out", name}, {name, "this command reads it", "choose another place with --out"});
  expect_kept(photo(), {"gradcam", model(), at("link.png"), "--out", photo()}, {"link.png"});
  EXPECT_TRUE(fs::is_symlink(at("link.png")));
}

TEST_F(OutputsTest, OfEachCommandAreNoInputOfIt) {
  const std::string data = at("photos"), zip = at("scenes.zip");
  expect_kept(model(), {"gradcam", model(), photo(), "--out", model()});
  expect_kept(model(), {"gradcam", model(), photo(), "--out", at("why.png"), "--npy", model()}, {"--npy"});
  expect_kept(photo(), {"gradcam", model(), data, "--out", photo()});
  expect_kept(model(), {"explore", model(), photo(), "--out", model()});
  expect_kept(photo(), {"explore", model(), photo(), "--out", photo()});
  expect_kept(model(), {"diff", model(), model(), photo(), "--dump", model()}, {"--dump"});
  expect_kept(photo(), {"diff", model(), model(), photo(), "--dump", photo()});
  expect_kept(zip, {"show-batch", "--data", zip, "--out", zip});
  expect_kept(photo(), {"show-batch", "--data", data, "--out", photo()});
  expect_kept(model(), {"cam-bench", model(), "--data", zip, "--out", model()});
  expect_kept(zip, {"cam-bench", model(), "--data", zip, "--out", zip});
  expect_kept(model(), {"train", "--data", zip, "--weights", model(), "--out", folder_.path()}, {"model.safetensors", "--out"});
  expect_kept(model(), {"train", "--data", zip, "--init-head", model(), "--out", folder_.path()}, {"model.safetensors", "--out"});
}

// The name of the second picture is derived from that of the first.
TEST_F(OutputsTest, DerivedNamesAreNoInputEither) {
  fs::copy_file(photo(), at("sheet-2.png"));
  expect_kept(at("sheet-2.png"), {"gradcam", model(), photo(), at("sheet-2.png"), "--per-sheet", "1", "--out", at("sheet.png")},
              {"sheet-2.png"});
  EXPECT_FALSE(fs::exists(at("sheet.png"))) << "refused before anything is written";
}

TEST_F(OutputsTest, LeaveAFileThatIsSomethingElse) {
  spill(at("notes.txt"), "what I must not forget");
  fs::create_directories(at("out"));
  for (const char* name : {"config.json", "history.csv", "loss.png", "lr_find.csv", "lr_find.png", "confusion.csv", "top_losses.png"})
    fs::copy_file(at("notes.txt"), at("out/") + name);
  const std::string notes = at("notes.txt"), zip = at("scenes.zip"), other = at("other.safetensors");
  fs::copy_file(model(), other);
  expect_kept(notes, {"gradcam", model(), photo(), "--out", notes}, {"notes.txt", "already exists and is not a PNG picture"});
  expect_kept(other, {"gradcam", model(), photo(), "--out", other}, {"a PNG picture"});
  expect_kept(other, {"explore", model(), photo(), "--out", other}, {"a page"});
  expect_kept(other, {"diff", model(), model(), photo(), "--dump", other}, {"a trace"});
  expect_kept(notes, {"cam-bench", model(), "--data", zip, "--out", notes}, {"a table"});
  expect_kept(notes, {"scenes", "--out", notes}, {"a zip of scenes"});
  expect_kept(notes, {"show-batch", "--data", zip, "--out", notes}, {"a PNG picture"});
  expect_kept(at("out/config.json"), {"train", "--data", zip, "--out", at("out")}, {"config.json"});
  fs::remove(at("out/config.json"));
  expect_kept(at("out/history.csv"), {"train", "--data", zip, "--out", at("out")}, {"history.csv"});
  fs::remove(at("out/history.csv"));
  expect_kept(at("out/loss.png"), {"train", "--data", zip, "--out", at("out")}, {"loss.png"});
  expect_kept(at("out/lr_find.csv"), {"lr-find", "--data", zip, "--out", at("out")}, {"lr_find.csv"});
  expect_kept(at("out/confusion.csv"), {"interpret", model(), "--data", zip, "--out", at("out")}, {"confusion.csv"});
  fs::remove(at("out/confusion.csv"));
  expect_kept(at("out/top_losses.png"), {"interpret", model(), "--data", zip, "--out", at("out")}, {"top_losses.png"});
}

TEST_F(OutputsTest, LeaveAZipOfPhotos) {
  ASSERT_EQ(run({"scenes", "--out", at("scenes.zip"), "--per-class", "1", "--size", "16"}).code, 0) << "our own is replaced";
  const std::string zip = std::string(MIRILLA_SOURCE_DIR) + "/tests/oracle/weights/plain.pth";  // a zip, too
  fs::copy_file(zip, at("photos.zip"));
  expect_kept(at("photos.zip"), {"scenes", "--out", at("photos.zip")}, {"photos.zip", "a zip of scenes"});
  fs::create_directories(at("out"));
  fs::copy_file(zip, at("out/scenes.zip"));
  expect_kept(at("out/scenes.zip"), {"train", "--out", at("out")}, {"scenes.zip"});
}

TEST_F(OutputsTest, ReplaceTheirOwnKindAndAnEmptyFile) {
  spill(at("why.png"), "");
  for (int i = 0; i < 2; ++i) {  // the second time over the files of the first
    EXPECT_EQ(run({"gradcam", model(), photo(), "--layer", "layer3", "--out", at("why.png"), "--npy", at("why.npy")}).code, 0);
    EXPECT_EQ(run({"explore", model(), photo(), "--out", at("page.html")}).code, 0);
    EXPECT_EQ(run({"diff", model(), model(), photo(), "--dump", at("trace.safetensors")}).code, 0);
    EXPECT_EQ(run({"show-batch", "--data", at("scenes.zip"), "--batch-size", "2", "--n", "1", "--out", at("batch.png")}).code, 0);
  }
  EXPECT_EQ(run({"gradcam", model(), photo(), "--out", "/dev/null"}).code, 0) << "a device holds nothing";
}

TEST_F(OutputsTest, DoNotGoToOneFile) {
  const Outcome outcome = run({"gradcam", model(), photo(), "--out", at("why.png"), "--npy", at("./why.png")});
  expect_failure(outcome, 2, {"two results", "why.png", "--npy"});
  EXPECT_FALSE(fs::exists(at("why.png")));
}

TEST_F(OutputsTest, DoNotGoAmongTheClasses) {
  const std::string data = at("photos");
  for (const std::string& out : {data, at("photos/sea"), at("photos/results"), at("photos/sea/deep/er")}) {
    for (const char* command : {"train", "lr-find"})
      expect_failure(run({command, "--data", data, "--out", out}), 2, {out, "among the classes", "--out"});
    expect_failure(run({"interpret", model(), "--data", data, "--out", out}), 2, {out, "among the classes"});
  }
  expect_failure(run({"show-batch", "--data", data, "--out", at("photos/sea/batch.png")}), 2, {"among the classes"});
  EXPECT_FALSE(fs::exists(at("photos/results"))) << "refused before the folder is made";
  EXPECT_FALSE(fs::exists(at("photos/config.json")));
}

TEST_F(OutputsTest, MayGoBesideTheTrainingPart) {
  fs::create_directories(at("set"));
  fs::rename(at("photos"), at("set/train"));
  EXPECT_EQ(
      run({"show-batch", "--data", at("set"), "--valid-pct", "0.5", "--batch-size", "2", "--n", "1", "--out", at("set/batch.png")}).code,
      0);
  EXPECT_EQ(run({"show-batch", "--data", at("set"), "--out", at("set/train/sea/batch.png")}).code, 1)
      << "the picture beside the classes is told first";
}

TEST_F(OutputsTest, ThatCannotBeWrittenAreReportedBeforeTheWork) {
  expect_failure(run({"gradcam", model(), photo(), "--out", at("none/why.png")}), 1, {"none/why.png", "there is no folder"});
  expect_failure(run({"gradcam", model(), photo(), "--out", at("photos")}), 1, {"photos", "is a folder"});
  expect_failure(run({"explore", model(), photo(), "--out", at("none/page.html")}), 1, {"none/page.html"});
  expect_failure(run({"cam-bench", model(), "--data", at("scenes.zip"), "--out", at("photos")}), 1, {"is a folder"});
  expect_failure(run({"train", "--data", at("scenes.zip"), "--out", at("scenes.zip")}), 1, {"scenes.zip", "--out"});
  if (::geteuid() != 0) {
    fs::permissions(at("photos"), fs::perms::owner_read | fs::perms::owner_exec);
    expect_failure(run({"gradcam", model(), photo(), "--out", at("photos/why.png")}), 1, {"no permission"});
    fs::permissions(at("photos"), fs::perms::owner_all);
  }
}

TEST_F(OutputsTest, OnAFullDiskAreReportedInASentence) {
  expect_failure(run({"gradcam", model(), photo(), "--out", "/dev/full"}), 1, {"/dev/full", "no space is left on the disk"});
  expect_failure(run({"diff", model(), model(), photo(), "--dump", "/dev/full"}), 2, {"/dev/full", "no space is left on the disk"});
  expect_failure(run({"scenes", "--per-class", "1", "--size", "16", "--out", "/dev/full"}), 1,
                 {"/dev/full", "no space is left on the disk"});
}

}  // namespace
}  // namespace mirilla::apps
