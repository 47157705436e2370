// SPDX-License-Identifier: MIT
#include "data/parts.h"

#include "data/items.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;

std::shared_ptr<const Source> source_of(const std::vector<std::string>& paths) {
  test::ZipMaker zip;
  for (const std::string& path : paths) zip.add(path, test::text("x"));
  return open_source(zip.bytes(), "z.zip");
}

// "train: a/train 3+1" of each folder: pictures in class folders + others
std::vector<std::string> parts_in(const std::vector<std::string>& paths) {
  std::vector<std::string> lines;
  for (const PartFolder& folder : find_layout(*source_of(paths)).folders)
    lines.push_back(fmt::format("{}: {} {}+{}", word_of(folder.part), folder.path, folder.pictures, folder.unlabelled));
  return lines;
}

std::vector<std::string> taken(const std::vector<std::string>& paths, Part part) {
  std::vector<std::string> result;
  for (const Item& item : find_items(*source_of(paths), {.part = part}).items) result.push_back(item.path);
  return result;
}

std::string refusal(const std::vector<std::string>& paths, Part part) {
  return test::sentence_of<DataError>([&] { find_items(*source_of(paths), {.part = part}); });
}

using Lines = std::vector<std::string>;

TEST(PartNames, AreKnownWhateverTheirCapitals) {
  for (const char* name : {"train", "Train", "TRAINING", "seg_train", "Seg_Train", "training_set", "train-set", "trainset", "train_data"})
    EXPECT_EQ(part_of_name(name), Part::train) << name;
  for (const char* name : {"val", "Valid", "validation", "seg_val", "validation_set"}) EXPECT_EQ(part_of_name(name), Part::valid) << name;
  for (const char* name : {"test", "TEST", "testing", "seg_test", "test_images"}) EXPECT_EQ(part_of_name(name), Part::test) << name;
  for (const char* name : {"pred", "seg_pred", "Predictions"}) EXPECT_EQ(part_of_name(name), Part::pred) << name;
  for (const char* name : {"", "trains", "train2", "my_train", "seg", "set", "contest", "tests", "value", "masks", "seg_", "forest"})
    EXPECT_EQ(part_of_name(name), std::nullopt) << name;
}

TEST(Layout, OfTheIntelArchiveItself) {
  const std::vector<std::string> paths{"seg_train/seg_train/sea/1.jpg", "seg_train/seg_train/ice/2.jpg", "seg_test/seg_test/sea/3.jpg",
                                       "seg_test/seg_test/ice/4.jpg",   "seg_pred/seg_pred/5.jpg",       "seg_pred/seg_pred/6.jpg"};
  EXPECT_EQ(parts_in(paths), (Lines{"pred: seg_pred/seg_pred 0+2", "test: seg_test/seg_test 2+0", "train: seg_train/seg_train 2+0"}));
  EXPECT_EQ(taken(paths, Part::train), (Lines{"seg_train/seg_train/ice/2.jpg", "seg_train/seg_train/sea/1.jpg"}));
  EXPECT_EQ(taken(paths, Part::test), (Lines{"seg_test/seg_test/ice/4.jpg", "seg_test/seg_test/sea/3.jpg"}));
  std::vector<std::string> deeper;
  for (const std::string& path : paths) deeper.push_back("test/archive/" + path);  // inside folders named like a part
  EXPECT_EQ(parts_in(deeper), (Lines{"pred: test/archive/seg_pred/seg_pred 0+2", "test: test/archive/seg_test/seg_test 2+0",
                                     "train: test/archive/seg_train/seg_train 2+0"}));
}

TEST(Layout, OfPartsInPartsIsThatOfTheInnerOnes) {
  const Lines inner{"train: train/train 2+0", "val: train/val 2+0"};
  EXPECT_EQ(parts_in({"train/train/a/1.jpg", "train/train/b/2.jpg", "train/val/a/3.jpg", "train/val/b/4.jpg"}), inner);
  EXPECT_EQ(parts_in({"train/group/a/1.jpg", "train/group/b/2.jpg"}), Lines{"train: train 2+0"}) << "class folders may lie deeper";
}

TEST(Layout, AClassMayBeNamedAsAPart) {
  const std::vector<std::string> vehicles{"v/car/1.jpg", "v/bus/2.jpg", "v/train/3.jpg"};
  EXPECT_TRUE(parts_in(vehicles).empty());
  EXPECT_EQ(taken(vehicles, Part::train).size(), 3u);
  EXPECT_EQ(taken(vehicles, Part::test).size(), 3u);
  const std::vector<std::string> in_parts{"train/car/1.jpg", "train/train/2.jpg", "train/test/3.jpg",
                                          "test/car/4.jpg",  "test/train/5.jpg",  "test/test/6.jpg"};
  EXPECT_EQ(parts_in(in_parts), (Lines{"test: test 3+0", "train: train 3+0"}));
  const std::vector<std::string> beside{"car/1.jpg", "train/2.jpg", "test/car/3.jpg", "test/train/4.jpg"};
  EXPECT_EQ(parts_in(beside), Lines{"test: test 2+0"}) << "a class of the test part";
  EXPECT_EQ(taken(beside, Part::train), (Lines{"car/1.jpg", "train/2.jpg"}));
  const ItemList list = find_items(*source_of(vehicles));
  ASSERT_EQ(list.notes.size(), 1u);
  EXPECT_EQ(list.notes[0], "\"train\" is used as a class, since pictures lie directly in it and not in class folders");
}

TEST(Layout, PicturesWithoutClassFoldersMakeAPartWithoutLabels) {
  const std::vector<std::string> paths{"train/a/1.jpg", "train/b/2.jpg", "train/stray.jpg", "test/3.jpg", "pred/4.jpg", "cover.jpg"};
  EXPECT_EQ(parts_in(paths), (Lines{"pred: pred 0+1", "test: test 0+1", "train: train 2+1"}));
  EXPECT_EQ(taken(paths, Part::train), (Lines{"train/a/1.jpg", "train/b/2.jpg"}));
  EXPECT_EQ(refusal(paths, Part::test), "z.zip: \"test\" has 1 picture but no class folders, and measuring needs classes");
  EXPECT_EQ(parts_in({"a/1.jpg", "b/2.jpg", "seg_pred/3.jpg"}), Lines{"pred: seg_pred 0+1"});
  EXPECT_EQ(taken({"a/1.jpg", "b/2.jpg", "seg_pred/3.jpg"}, Part::train), (Lines{"a/1.jpg", "b/2.jpg"}));
}

TEST(Layout, WithoutATrainingPartIsWhatLiesOutsideOfTheOthers) {
  const std::vector<std::string> paths{"a/1.jpg", "b/2.jpg", "Test/a/3.jpg", "Validation/b/4.jpg"};
  EXPECT_EQ(taken(paths, Part::train), (Lines{"a/1.jpg", "b/2.jpg"}));
  EXPECT_EQ(taken(paths, Part::valid), Lines{"Validation/b/4.jpg"});
  const std::vector<std::string> one{"test/a/1.jpg", "test/b/2.jpg"};
  EXPECT_EQ(taken(one, Part::train).size(), 2u) << "a lone folder is somebody's name for it all";
  EXPECT_EQ(find_items(*source_of(one)).notes, Lines{"all pictures lie in \"test\": they are used for training"});
  EXPECT_EQ(refusal({"test/a/1.jpg", "test/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"}, Part::train),
            "z.zip: it has \"test\" and \"val\", but no folder to train on");
}

TEST(Layout, WithoutATestPartEverythingButPredIsMeasured) {
  EXPECT_EQ(taken({"train/a/1.jpg", "val/a/2.jpg", "pred/3.jpg"}, Part::test), (Lines{"train/a/1.jpg", "val/a/2.jpg"}));
}

TEST(Layout, TwoFoldersForOnePartAreNotGuessedBetween) {
  for (const auto& [one, two] : std::vector<std::pair<std::string, std::string>>{
           {"Train", "train"}, {"train", "training"}, {"seg_train/seg_train", "train"}, {"x/Train", "x/train"}})
    EXPECT_EQ(refusal({one + "/a/1.jpg", one + "/b/2.jpg", two + "/a/3.jpg", two + "/b/4.jpg"}, Part::train),
              fmt::format("z.zip: \"{}\" and \"{}\" lie next to each other, and both are names of the part \"train\"", one, two));
  EXPECT_EQ(taken({"x/train/a/1.jpg", "y/Train/b/2.jpg"}, Part::train).size(), 2u) << "at two places, both are meant";
  EXPECT_EQ(taken({"train/a/1.jpg", "train/b/2.jpg", "Test/a/3.jpg", "test/a/4.jpg"}, Part::train).size(), 2u) << "asked for another part";
}

TEST(Layout, PartsAloneAreNoClasses) {
  EXPECT_EQ(refusal({"train/1.jpg", "train/2.jpg", "test/3.jpg"}, Part::train),
            "z.zip: its pictures lie directly in \"test\" and \"train\", not in class folders");
  EXPECT_EQ(refusal({"sea/train/1.jpg", "ice/train/2.jpg", "sea/test/3.jpg"}, Part::train),
            "z.zip: its pictures lie directly in \"test\" and \"train\", not in class folders");
  EXPECT_EQ(refusal({"train/train/1.jpg", "test/test/2.jpg"}, Part::train),
            "z.zip: its pictures lie directly in \"test\" and \"train\", not in class folders");
}

}  // namespace
}  // namespace mirilla::data
