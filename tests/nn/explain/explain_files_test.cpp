// SPDX-License-Identifier: MIT
#include "nn/explain/explain_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "data/pictures/decode.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "tests/oracle/named_values.h"

namespace mirilla::nn {
namespace {

namespace fs = std::filesystem;

ResNet& untrained() {
  static const std::unique_ptr<ResNet> model = [] {
    auto made = std::make_unique<ResNet>(ResNetSpec{.seed = std::nullopt}, Placement{.device = open_device("cpu")});
    test::fill_by_name(*made);
    made->evaluate();
    return made;
  }();
  return *model;
}

// A network without training, and a folder of small pictures that is removed with the object.
class Fixture {
 public:
  Fixture() : folder_(fs::path(testing::TempDir()) / fmt::format("explain-files-{}", ::getpid())) { fs::create_directories(folder_); }
  ~Fixture() { fs::remove_all(folder_); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  fs::path operator/(const std::string& name) const { return folder_ / name; }
  std::vector<fs::path> pictures(int n) const {
    std::vector<fs::path> paths;
    for (int i = 0; i < n; ++i) {
      data::Picture picture(48, 40 + i);
      const auto units = test::units(fmt::format("explain_files.{}", i), static_cast<int64_t>(picture.pixels.size()));
      std::transform(units.begin(), units.end(), picture.pixels.begin(), [](double u) { return static_cast<uint8_t>(256 * u); });
      paths.push_back(folder_ / fmt::format("{}.png", i));
      data::write_png(paths.back().string(), picture);
    }
    return paths;
  }

  Device& device = open_device("cpu");
  ResNet& model = untrained();
  ModelInfo info{.vocabulary = {"a", "b", "c", "d", "e", "f"}, .resize = 64, .size = 64};

 private:
  fs::path folder_;
};

TEST(ExplainFiles, ABatchSaysOfEachPictureWhatItSaysOfItAlone) {
  Fixture f;
  const auto paths = f.pictures(3);
  const ExplainedFiles all = explain_files(f.model, paths, f.info, {.batch_size = 2, .out = f / "sheet.png"}, {.device = f.device});
  ASSERT_EQ(all.pictures.size(), 3u);
  EXPECT_EQ(all.sheets, (std::vector<std::string>{(f / "sheet.png").string()}));
  for (size_t i = 0; i < 3; ++i) {
    const ExplainedFiles one = explain_files(f.model, std::span(paths).subspan(i, 1), f.info, {.out = f / "one.png"}, {.device = f.device});
    EXPECT_EQ(one.pictures[0].index, all.pictures[i].index);
    EXPECT_NEAR(one.pictures[0].probability, all.pictures[i].probability, 1e-5);
    EXPECT_EQ(all.pictures[i].file, paths[i].string());
  }
}

TEST(ExplainFiles, MorePicturesThanASheetHoldsGoToFurtherSheets) {
  Fixture f;
  const auto paths = f.pictures(5);
  const ExplainedFiles all = explain_files(f.model, paths, f.info, {.per_sheet = 2, .out = f / "s.png"}, {.device = f.device});
  const std::vector<std::string> wanted{(f / "s.png").string(), (f / "s-2.png").string(), (f / "s-3.png").string()};
  EXPECT_EQ(all.sheets, wanted);
  EXPECT_EQ(all.pictures[4].sheet, wanted[2]);
  EXPECT_GT(data::load_picture(wanted[0]).width, data::load_picture(wanted[2]).width);  // two and one
}

TEST(ExplainFiles, AFilmHasAFrameForEachStepFromTheFirstReluToTheLastBlock) {
  Fixture f;
  const std::vector<std::string> layers = film_layers(f.model);
  EXPECT_EQ(layers, (std::vector<std::string>{"relu", "maxpool", "layer1.0", "layer1", "layer2.0", "layer2", "layer3.0", "layer3",
                                              "layer4.0", "layer4"}));
  const auto paths = f.pictures(1);
  const ExplainedFiles film =
      explain_files(f.model, paths, f.info, {.explain = {.layers = layers}, .film = true, .out = f / "film.png"}, {.device = f.device});
  EXPECT_GT(data::load_picture(film.sheets[0]).width, 11 * 144);
  EXPECT_THROW(
      explain_files(f.model, paths, f.info, {.explain = {.method = "guided"}, .film = true, .out = f / "no.png"}, {.device = f.device}),
      UsageError);
  EXPECT_FALSE(fs::exists(f / "no.png"));
}

TEST(ExplainFiles, PicturesThatCannotBeReadAreNamedAndTheOthersExplained) {
  Fixture f;
  auto paths = f.pictures(20);
  std::ofstream(f / "broken.png") << "no picture";
  paths.insert(paths.begin() + 3, f / "broken.png");
  const ExplainedFiles all = explain_files(f.model, paths, f.info, {.out = f / "s.png"}, {.device = f.device});
  EXPECT_EQ(all.pictures.size(), 20u);
  ASSERT_EQ(all.bad.size(), 1u);
  EXPECT_EQ(all.bad[0].file, (f / "broken.png").string());
  const std::vector<fs::path> half{paths[3], paths[0]}, none{paths[3]};
  const ExplainedFiles one = explain_files(f.model, half, f.info, {.out = f / "half.png"}, {.device = f.device});
  EXPECT_EQ(one.pictures.size(), 1u);
  EXPECT_EQ(one.bad.size(), 1u);
  EXPECT_TRUE(fs::exists(f / "half.png"));
  EXPECT_TRUE(explain_files(f.model, none, f.info, {.out = f / "none.png"}, {.device = f.device}).sheets.empty());
  EXPECT_FALSE(fs::exists(f / "none.png"));
}

TEST(ExplainFiles, AMapWithoutAPositiveValueIsReportedAsEvidenceAgainstTheClassAndNotAsZero) {
  Fixture f;
  const auto paths = f.pictures(1);
  ResNet against{{.classes = 6, .head = Head::torchvision, .seed = 2}, {.device = f.device}};
  for (NamedTensor parameter : against.at("fc").own_parameters()) parameter.tensor.fill(-1);
  const ExplainedFiles all =
      explain_files(against, paths, f.info, {.explain = {.style = CamStyle::paper}, .out = f / "against.png"}, {.device = f.device});
  ASSERT_EQ(all.pictures.at(0).notes.size(), 1u);
  EXPECT_NE(all.pictures[0].notes[0].find("negative everywhere"), std::string::npos) << all.pictures[0].notes[0];
}

TEST(ExplainFiles, WhoIsInterruptedKeepsTheSheetsThatWereFull) {
  Fixture f;
  const auto paths = f.pictures(4);
  const auto stop = [](int64_t done, int64_t) {
    if (done == 3) throw Interrupted("enough");
  };
  EXPECT_THROW(
      explain_files(f.model, paths, f.info, {.batch_size = 1, .per_sheet = 2, .out = f / "s.png", .progress = stop}, {.device = f.device}),
      Interrupted);
  EXPECT_TRUE(fs::exists(f / "s.png"));
  EXPECT_FALSE(fs::exists(f / "s-2.png"));
}

}  // namespace
}  // namespace mirilla::nn
