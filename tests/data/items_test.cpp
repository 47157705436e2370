// SPDX-License-Identifier: MIT
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

std::vector<std::string> paths(const ItemList& list) {
  std::vector<std::string> result;
  for (const Item& item : list.items) result.push_back(item.path);
  return result;
}

TEST(Items, AreThePicturesSortedByPathAndLabelledByTheirFolder) {
  const auto source = source_of({"b/2.PNG", "a/x.jpeg", "a/10.jpg", "a/9.jpg", "a/notes.txt", "B/1.bmp", "a/deep/1.gif", "a/noextension"});
  const ItemList list = find_items(*source);
  const std::vector<Item> expected{{"B/1.bmp", "B"},         {"a/10.jpg", "a"}, {"a/9.jpg", "a"},
                                   {"a/deep/1.gif", "deep"}, {"a/x.jpeg", "a"}, {"b/2.PNG", "b"}};
  EXPECT_EQ(list.items, expected);
  EXPECT_TRUE(list.folders.empty());
}

TEST(Items, ComeFromTheTrainPartWhereThereIsOne) {
  const auto source = source_of({"intel/test/sea/9.jpg", "intel/train/sea/1.jpg", "intel/train/ice/2.jpg", "intel/odd/3.jpg"});
  EXPECT_EQ(paths(find_items(*source)), (std::vector{"intel/train/ice/2.jpg"s, "intel/train/sea/1.jpg"s}));
  EXPECT_EQ(find_items(*source).folders, std::vector{"intel/train"s});
  EXPECT_EQ(paths(find_items(*source, {.part = Part::test})), std::vector{"intel/test/sea/9.jpg"s});
  EXPECT_EQ(find_items(*source, {.part = std::nullopt}).items.size(), 4u);
  EXPECT_EQ(test::sentence_of<DataError>([&] { find_items(*source, {.part = Part::valid}); }), "z.zip: it has no pictures in val/<class>/");
}

TEST(Items, AClassNamedTrainIsNotThePart) {
  const auto source = source_of({"vehicles/car/1.jpg", "vehicles/train/2.jpg"});
  EXPECT_EQ(find_items(*source).items, (std::vector<Item>{{"vehicles/car/1.jpg", "car"}, {"vehicles/train/2.jpg", "train"}}));
}

TEST(Items, MasksAreNoPicturesAndAreFoundFromTheirs) {
  const auto source = source_of({"train/sea/1.png", "train/sea/2.jpg", "train/sea/3.png", "masks/train/sea/1.png", "masks/train/sea/2.png",
                                 "masks/train/sea/3.png.png", "set/train/ice/1.png", "set/masks/train/ice/1.png", "train/ice/9.png"});
  for (const std::string& path : paths(find_items(*source, {.part = std::nullopt}))) EXPECT_EQ(path.find("masks"), std::string::npos);
  EXPECT_EQ(mask_path(*source, "train/sea/1.png"), "masks/train/sea/1.png");
  EXPECT_EQ(mask_path(*source, "train/sea/2.jpg"), "masks/train/sea/2.png");
  EXPECT_EQ(mask_path(*source, "train/sea/3.png"), "masks/train/sea/3.png.png");
  EXPECT_EQ(mask_path(*source, "set/train/ice/1.png"), "set/masks/train/ice/1.png");
  EXPECT_EQ(mask_path(*source, "train/ice/9.png"), std::nullopt);
}

TEST(Items, ALimitTakesTheFirstOfEachClass) {
  const auto source = source_of({"a/1.jpg", "a/2.jpg", "a/3.jpg", "b/4.jpg", "c/5.jpg", "c/6.jpg", "c/7.jpg"});
  EXPECT_EQ(paths(find_items(*source, {.limit_per_class = 2})), (std::vector{"a/1.jpg"s, "a/2.jpg"s, "b/4.jpg"s, "c/5.jpg"s, "c/6.jpg"s}));
}

TEST(Items, NoPictureAndNoFolderAreReported) {
  EXPECT_EQ(test::sentence_of<DataError>([] { find_items(*source_of({"a/1.txt"})); }), "z.zip: it contains no picture");
  EXPECT_EQ(test::sentence_of<DataError>([] {
              find_items(*source_of({"a/1.heic", "b/2.heic", "b/3.TIFF"}));
            }),
            "z.zip: it contains no picture of a supported kind, but 2 heic and 1 tiff");
  EXPECT_EQ(test::sentence_of<DataError>([] { find_items(*source_of({"1.jpg"})); }),
            "z.zip: 1.jpg lies in no folder, but its class is the name of its folder");
}

TEST(PictureFiles, LeaveOutTheResultsOfGradcam) {
  const test::TempFolder folder;
  for (const char* name :
       {"a.jpg", "a-gradcam.png", "b-gradcam.png", "gradcam.png", "gradcam-2.png", "gradcams.png", "in/c.png", "in/a-gradcam.png"})
    folder.write(name, test::text("x"));
  const std::string path = folder.path().string();
  const PictureFiles found = picture_files(std::vector{path});
  std::vector<std::string> names;
  for (const auto& file : found.files) names.push_back(std::filesystem::relative(file, folder.path()).generic_string());
  EXPECT_EQ(names, (std::vector{"a.jpg"s, "b-gradcam.png"s, "gradcams.png"s, "in/a-gradcam.png"s, "in/c.png"s}))
      << "no photo is beside two";
  EXPECT_EQ(found.notes, (std::vector{path + ": left out 3 pictures of `mirilla gradcam`, such as a-gradcam.png"}));
  EXPECT_EQ(picture_files(std::vector{path + "/a-gradcam.png"}).files.size(), 1u) << "a named one is wanted";
}

TEST(PictureFiles, AnEmptyNameIsWrongUsage) {
  EXPECT_EQ(test::sentence_of<UsageError>([] { picture_files(std::vector{""s}); }), "expected a picture or a folder, got an empty name");
}

TEST(Vocabulary, IsTheSortedLabelsOfTheGivenItems) {
  const std::vector<Item> items{{"1", "sea"}, {"2", "ice"}, {"3", "sea"}, {"4", "wood"}};
  const std::vector<int64_t> some{2, 1}, one{0, 2}, none{};
  EXPECT_EQ(make_vocabulary(items, some), (std::vector{"ice"s, "sea"s}));
  EXPECT_EQ(test::sentence_of<DataError>([&] { make_vocabulary(items, one); }),
            "the pictures to train on have one class (\"sea\"), but training needs at least two");
  EXPECT_THROW(make_vocabulary(items, none), DataError);
  const std::vector vocabulary{"sea"s, "ice"s};
  EXPECT_EQ(index_in(vocabulary, "ice"), 1);
  EXPECT_EQ(index_in(vocabulary, "wood"), -1);
}

}  // namespace
}  // namespace mirilla::data
