// SPDX-License-Identifier: MIT
#include "data/class_folders.h"

#include "data/items.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using Lines = std::vector<std::string>;
using test::text;

const test::Bytes kJpeg = text("\xFF\xD8\xFF\xE0 and so on");

std::shared_ptr<const Source> source_of(const std::vector<std::string>& paths) {
  test::ZipMaker zip;
  for (const std::string& path : paths) zip.add(path, path.find("IMG") != std::string::npos ? kJpeg : text("words"));
  return open_source(zip.bytes(), "z.zip");
}

Lines notes_of(const std::vector<std::string>& paths) { return find_items(*source_of(paths)).notes; }
std::string refusal(const std::vector<std::string>& paths, ItemOptions options = {}) {
  return test::sentence_of<DataError>([&] { find_items(*source_of(paths), options); });
}

TEST(ClassFolders, SayNothingOfTidyData) {
  EXPECT_EQ(notes_of({"a/1.jpg", "b/2.png", "readme.txt", "a/notes.txt"}), Lines{});
  EXPECT_EQ(notes_of({"train/a/1.jpg", "train/b/2.png", "test/a/3.jpg", "test/b/4.jpg", "docs/x.pdf", "cover.heic"}), Lines{});
}

TEST(ClassFolders, CountPicturesOfKindsThatAreNotDecoded) {
  EXPECT_EQ(notes_of({"a/1.jpg", "a/2.heic", "a/3.HEIC", "b/4.jpg", "b/5.tiff"}),
            Lines{"pictures of unsupported kinds are left out: 2 heic and 1 tiff (such as a/2.heic)"});
}

TEST(ClassFolders, AClassOfSuchPicturesAloneIsRefused) {
  EXPECT_EQ(refusal({"a/1.jpg", "b/2.jpg", "c/3.heic", "c/4.avif", "c/5.heic"}),
            "z.zip: the class \"c\" would be missing: its folder has 3 pictures, but none of a supported kind: 1 avif and 2 heic "
            "(c/3.heic)");
  EXPECT_NE(
      refusal({"train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.heic"}, {.part = Part::test}).find("\"b\" would be missing"),
      std::string::npos);
  EXPECT_EQ(find_items(*source_of({"train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.heic"})).items.size(), 2u)
      << "of another part it does not matter";
  EXPECT_EQ(find_items(*source_of({"x/a/1.jpg", "x/b/2.jpg", "y/a/3.heic"})).items.size(), 2u) << "the class has pictures elsewhere";
}

TEST(ClassFolders, PicturesWithoutAnExtensionAreSeenByTheirContent) {
  EXPECT_EQ(
      refusal({"a/1.jpg", "b/2.jpg", "c/IMG_1", "c/IMG_2"}),
      "z.zip: the class \"c\" would be missing: none of its files (2) has a picture's extension, though c/IMG_1 is a picture (JPEG) by its "
      "content");
  EXPECT_EQ(
      notes_of({"a/1.jpg", "a/IMG_3", "a/IMG_4", "b/2.jpg"}),
      Lines{"a/IMG_3 is a picture (JPEG) by its content but not by its name; it is left out, like all files there without a picture's "
            "extension (2 files)"});
  EXPECT_EQ(notes_of({"a/1.jpg", "a/LICENSE", "b/2.jpg"}), Lines{}) << "words are no picture";
}

TEST(ClassFolders, AnEmptyOneIsRefusedInTrainingAndReportedOtherwise) {
  const Lines paths{"a/1.jpg", "b/2.jpg", "c/", "d/"};
  EXPECT_EQ(refusal(paths), "z.zip: among the class folders, \"c\" and \"d\" are folders without a picture");
  EXPECT_EQ(find_items(*source_of(paths), {.part = Part::test, .refuse_empty_folders = false}).notes,
            Lines{"there is no picture in \"c\" and \"d\""});
  EXPECT_EQ(refusal({"train/a/1.jpg", "train/b/2.jpg", "train/c/"}),
            "z.zip: among the class folders, \"train/c\" is one without a picture");
  EXPECT_EQ(notes_of({"train/a/1.jpg", "train/b/2.jpg", "logs/", "x/y/"}), Lines{}) << "not where class folders lie";
  EXPECT_EQ(notes_of({"a/1.jpg", "b/2.jpg", "test/", "val/"}), Lines{}) << "an empty part is no class";
  EXPECT_EQ(notes_of({"a/1.jpg", "b/2.jpg", "scripts/run.py"}), Lines{"\"scripts\" contains files but no picture, and is not a class"});
  EXPECT_EQ(refusal({"a/1.jpg", "b/2.jpg", "c/", "c/.DS_Store"}), "z.zip: among the class folders, \"c\" is one without a picture");
}

TEST(ClassFolders, ALinkToAMissingOneIsRefused) {
  const test::TempFolder folder;
  folder.write("a/1.jpg", kJpeg);
  folder.write("b/2.jpg", kJpeg);
  std::filesystem::create_symlink("/no/such/place", folder.path() / "street");
  EXPECT_NE(test::sentence_of<DataError>([&] {
              find_items(*open_source(folder.path()));
            }).find("among the class folders, \"street\" (a link that leads nowhere) is one without a picture"),
            std::string::npos);
  std::filesystem::remove(folder.path() / "street");
  std::filesystem::create_symlink("3.jpg", folder.path() / "a/3.jpg");
  EXPECT_EQ(find_items(*open_source(folder.path())).notes, Lines{"skipped a/3.jpg: a link that is part of a circle"});
}

TEST(ClassFolders, ArchivesInTheDataAreReported) {
  EXPECT_EQ(notes_of({"a/1.jpg", "b/2.jpg", "more.zip"}), Lines{"archives inside the data are not opened: more.zip"});
  EXPECT_EQ(refusal({"photos/inner.zip"}), "z.zip: it contains no picture, but photos/inner.zip");
}

TEST(ClassNames, ThatDifferInBlanksCapitalsOrNormalFormOnlyAreReported) {
  EXPECT_EQ(notes_of({"forest/1.jpg", "forest /2.jpg", "sea/3.jpg"}),
            Lines{"2 classes differ only in spaces, capitals or the encoding of their letters: \"forest\" and \"forest \"; if they are the "
                  "same class, put their pictures into one folder"});
  EXPECT_EQ(notes_of({"Sea/1.jpg", "sea/2.jpg", "ice/3.jpg"}).size(), 1u);
  EXPECT_EQ(notes_of({"for\u00EAt/1.jpg", "fore\u0302t/2.jpg", "ice/3.jpg"}).size(), 1u);
  EXPECT_EQ(notes_of({"foret/1.jpg", "for\u00EAt/2.jpg", "ice/3.jpg"}), Lines{});
}

TEST(ClassNames, FoundInSeveralFoldersAreReported) {
  EXPECT_EQ(
      notes_of({"day/sea/1.jpg", "night/sea/2.jpg", "day/ice/3.jpg"}),
      Lines{"a picture's class is the name of its folder, and one name is used by several folders, whose pictures are combined: \"sea\" "
            "(in \"day/sea\" and \"night/sea\")"});
  EXPECT_EQ(notes_of({"train/sea/1.jpg", "train/ice/2.jpg", "test/sea/3.jpg", "test/ice/4.jpg"}), Lines{}) << "of parts it is usual";
}

TEST(ClassNames, OfFoldersAtDifferentDepthsAreReported) {
  EXPECT_EQ(notes_of({"sea/1.jpg", "sea/deep/2.jpg", "ice/3.jpg"}),
            Lines{"\"sea/deep\" lies in \"sea\", which also contains pictures: each folder is a class of its own"});
  EXPECT_EQ(
      notes_of({"forest/1.jpg", "sea/raw/2.jpg", "sea/edited/3.jpg"}),
      Lines{"class folders lie at different depths, such as \"forest\" and \"sea/edited\": a picture's class is the name of its folder"});
  EXPECT_EQ(notes_of({"x/train/a/1.jpg", "y/z/train/b/2.jpg"}), Lines{}) << "of parts only what lies in them counts";
}

TEST(ClassNames, ThatAreNoUtf8AreReported) {
  const test::TempFolder folder;
  folder.write("for\xEAt/1.jpg", kJpeg);
  folder.write("m\xE9r/2.jpg", kJpeg);
  folder.write("for\xE9t/3.jpg", kJpeg);
  const auto source = open_source(folder.path());
  const ItemList list = find_items(*source);
  EXPECT_EQ(list.items,
            (std::vector<Item>{{"for\\xE9t/3.jpg", "for\\xE9t"}, {"for\\xEAt/1.jpg", "for\\xEAt"}, {"m\\xE9r/2.jpg", "m\\xE9r"}}));
  EXPECT_EQ(list.notes,
            Lines{"the names of 3 classes are not readable as UTF-8 text, and are written with \\xHH for each such byte: "
                  "\"for\\xE9t\" (\"forét\" in Latin-1), \"for\\xEAt\" (\"forêt\" in Latin-1) and \"m\\xE9r\" (\"mér\" in Latin-1)"});
  for (const Item& item : list.items) EXPECT_EQ(source->read(item.path), kJpeg) << item.path;
}

}  // namespace
}  // namespace mirilla::data
