// SPDX-License-Identifier: MIT
#include "data/archive/walk.h"

#include <sys/stat.h>

#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;
using test::TempFolder;
using test::text;

std::vector<std::string> files_of(const FolderListing& listing) {
  std::vector<std::string> paths;
  for (const auto& file : listing.files) paths.push_back(file.path);
  return paths;
}

// "path: reason" of each
std::vector<std::string> skipped_of(const FolderListing& listing) {
  std::vector<std::string> lines;
  for (const auto& one : listing.skipped) lines.push_back(one.path + ": " + one.reason);
  return lines;
}

TEST(ListFolder, IsSortedAndSkipsHiddenNames) {
  const TempFolder folder;
  for (const char* name : {"b/2.jpg", "a/1.jpg", "a/._1.jpg", ".Trash/9.jpg", "@eaDir/1.jpg/S.jpg", "a/Thumbs.db", "c/d/3.jpg"})
    folder.write(name, text("x"));
  fs::create_directory(folder.path() / "empty");
  const FolderListing listing = list_folder(folder.path());
  EXPECT_EQ(files_of(listing), (std::vector{"a/1.jpg"s, "b/2.jpg"s, "c/d/3.jpg"s}));
  EXPECT_EQ(listing.folders, (std::vector{"a"s, "b"s, "c"s, "c/d"s, "empty"s}));
  EXPECT_EQ(listing.files[0].size, 1u);
  EXPECT_TRUE(listing.skipped.empty() && listing.unreadable.empty());
}

TEST(ListFolder, NamesLinksThatLeadNowhereOrInACircle) {
  const TempFolder folder;
  folder.write("a.jpg", text("x"));
  fs::create_symlink("loop.jpg", folder.path() / "loop.jpg");
  fs::create_symlink("nowhere.jpg", folder.path() / "dangling.jpg");
  fs::create_symlink("a.jpg", folder.path() / "good.jpg");
  fs::create_symlink("one", folder.path() / "two");
  fs::create_symlink("two", folder.path() / "one");
  ASSERT_EQ(::mkfifo((folder.path() / "pipe.jpg").c_str(), 0600), 0);
  const FolderListing listing = list_folder(folder.path());
  EXPECT_EQ(files_of(listing), (std::vector{"a.jpg"s, "good.jpg"s}));
  EXPECT_EQ(skipped_of(listing), (std::vector{"dangling.jpg: a link that leads nowhere"s, "loop.jpg: a link that is part of a circle"s,
                                              "one: a link that is part of a circle"s, "pipe.jpg: neither a file nor a folder"s,
                                              "two: a link that is part of a circle"s}));
}

TEST(ListFolder, FollowsLinkedFoldersAndReadsEachOnce) {
  const TempFolder pool, folder;
  pool.write("sea/1.jpg", text("x"));
  pool.write("ice/2.jpg", text("x"));
  folder.write("wood/3.jpg", text("x"));
  fs::create_directory_symlink(pool.path() / "sea", folder.path() / "sea");
  fs::create_directory_symlink(pool.path() / "sea", folder.path() / "waves");
  fs::create_directory_symlink(pool.path(), folder.path() / "pool");
  fs::create_directory_symlink("wood", folder.path() / "a_forest");  // sorted before the folder itself
  fs::create_directory_symlink("..", folder.path() / "wood/round");
  const FolderListing listing = list_folder(folder.path());
  EXPECT_EQ(files_of(listing), (std::vector{"pool/ice/2.jpg"s, "pool/sea/1.jpg"s, "wood/3.jpg"s}));
  EXPECT_EQ(skipped_of(listing), (std::vector{"a_forest: the same folder as wood, whose pictures count once"s,
                                              "sea: the same folder as pool/sea, whose pictures count once"s,
                                              "waves: the same folder as pool/sea, whose pictures count once"s,
                                              "wood/round: it leads back to a folder that contains it"s}));
}

TEST(ListFolder, EndsAmongLinksThatMultiply) {  // each of 24 folders leads to the next by two links: 2^24 paths
  const TempFolder folder;
  constexpr int kFolders = 24;
  for (int i = 0; i < kFolders; ++i) folder.write("d" + std::to_string(i) + "/1.jpg", text("x"));
  for (int i = 0; i + 1 < kFolders; ++i)
    for (const char* name : {"x", "y"})
      fs::create_directory_symlink("../d" + std::to_string(i + 1), folder.path() / ("d" + std::to_string(i)) / name);
  const FolderListing listing = list_folder(folder.path());
  EXPECT_EQ(listing.files.size(), static_cast<size_t>(kFolders));
  EXPECT_EQ(listing.skipped.size(), static_cast<size_t>(2 * (kFolders - 1)));
}

TEST(ListFolder, LeavesFoldersOutAndSaysWhatItCannotList) {
  const TempFolder folder;
  folder.write("sea/1.jpg", text("x"));
  folder.write("out/loss.jpg", text("x"));
  const fs::path out[] = {folder.path() / "sea/../out"};
  EXPECT_EQ(files_of(list_folder(folder.path(), out)), std::vector{"sea/1.jpg"s});
  const fs::path itself[] = {folder.path()};
  EXPECT_EQ(list_folder(folder.path(), itself).files.size(), 2u) << "the folder that was asked for is never left out";
  const FolderListing gone = list_folder(folder.path() / "none");
  ASSERT_EQ(gone.unreadable.size(), 1u);
  EXPECT_EQ(gone.unreadable[0].reason, "it does not exist");
}

// Also works where the test runs as root, which may read everything.
class AsNobody {
 public:
  AsNobody() : was_root_(::geteuid() == 0) {
    if (was_root_ && ::seteuid(65534) != 0) throw std::runtime_error("seteuid");
  }
  ~AsNobody() {
    if (was_root_ && ::seteuid(0) != 0) std::abort();
  }

 private:
  bool was_root_;
};

TEST(ListFolder, SaysWhichFolderMayNotBeRead) {
  const TempFolder folder;
  folder.write("sea/1.jpg", text("x"));
  folder.write("ice/2.jpg", text("x"));
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(folder.path() / "ice", fs::perms::none);
  FolderListing listing;
  {
    const AsNobody nobody;
    listing = list_folder(folder.path());
  }
  fs::permissions(folder.path() / "ice", fs::perms::all);
  EXPECT_EQ(files_of(listing), std::vector{"sea/1.jpg"s});
  ASSERT_EQ(listing.unreadable.size(), 1u);
  EXPECT_EQ(listing.unreadable[0].path, "ice");
  EXPECT_EQ(listing.unreadable[0].reason, "you have no permission to read it");
}

TEST(ListFolder, SaysWhereAPathIsTooLongForTheSystem) {
  const TempFolder folder;
  const fs::path here = fs::current_path();
  fs::current_path(folder.path());
  const std::string name(250, 'd');
  for (int i = 0; i < 20; ++i) {  // 5,000 bytes, beyond Linux's 4,096
    ASSERT_EQ(::mkdir(name.c_str(), 0700), 0);
    ASSERT_EQ(::chdir(name.c_str()), 0);
  }
  fs::current_path(here);
  const FolderListing listing = list_folder(folder.path());
  ASSERT_EQ(listing.unreadable.size(), 1u);
  EXPECT_EQ(listing.unreadable[0].reason, "its path is too long for the system");
}

}  // namespace
}  // namespace mirilla::data
