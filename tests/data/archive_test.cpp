// SPDX-License-Identifier: MIT
#include "data/archive.h"

#include <thread>

#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using test::Bytes;
using test::text;
using test::ZipMaker;
using testing::Test;

std::vector<std::string> paths(const Source& source) {
  std::vector<std::string> result;
  for (const Entry& entry : source.entries()) result.push_back(entry.path);
  return result;
}

Bytes small_zip() { return ZipMaker().add("b/2.txt", text("two")).add("a/", {}).add("a/1.txt", text("one")).add("a/empty", {}).bytes(); }

TEST(Archive, ListsAZipSortedByPathWithoutFoldersAndHiddenFiles) {
  ZipMaker zip;
  zip.add("b/2.txt", text("two")).add("__MACOSX/b/._2.txt", text("x")).add("a/.hidden", text("x")).add(".git/a", text("x"));
  zip.add("a/", {}).add("B/3.txt", text("three")).add("a/1.txt", text("one"));
  const auto source = open_source(zip.bytes(), "memory.zip");
  EXPECT_EQ(paths(*source), (std::vector{"B/3.txt"s, "a/1.txt"s, "b/2.txt"s}));
  EXPECT_EQ(source->entries()[2].size, 3u);
  EXPECT_EQ(source->read("b/2.txt"), text("two"));
  EXPECT_TRUE(source->contains("a/1.txt"));
  EXPECT_FALSE(source->contains("a/.hidden"));
}

TEST(Archive, ReadsAFolderAsItReadsAZip) {
  const test::TempFolder folder;
  folder.write("b/2.txt", text("two"));
  folder.write("a/1.txt", text("one"));
  folder.write("a/empty", {});
  folder.write("a/.hidden", text("x"));
  folder.write(".git/config", text("x"));
  const auto zip_path = folder.write("kept.zip", small_zip());
  const auto zip = open_source(zip_path);
  std::filesystem::rename(zip_path, folder.path() / ".kept.zip");
  const auto plain = open_source(folder.path());
  EXPECT_EQ(paths(*plain), paths(*zip));
  for (const Entry& entry : zip->entries())
    EXPECT_EQ(plain->read(entry.path), open_source(small_zip(), "z")->read(entry.path)) << entry.path;
}

TEST(Archive, ACircleOfLinkedFoldersEnds) {
  const test::TempFolder folder;
  folder.write("a/1.txt", text("one"));
  std::filesystem::create_directory_symlink(folder.path(), folder.path() / "a/round");
  std::filesystem::create_directory_symlink(folder.path() / "nowhere", folder.path() / "a/broken");
  EXPECT_EQ(paths(*open_source(folder.path())), std::vector{"a/1.txt"s});
}

TEST(Archive, TakesBackslashesInAZipForSlashes) {
  EXPECT_EQ(open_source(ZipMaker().add("a\\1.txt", text("one")).bytes(), "z")->read("a/1.txt"), text("one"));
}

TEST(Archive, ManyThreadsReadTheSameBytes) {
  ZipMaker zip;
  for (int i = 0; i < 40; ++i) zip.add("f/" + std::to_string(i), Bytes(static_cast<size_t>(1000 + i), static_cast<uint8_t>(i)));
  const test::TempFolder folder;
  const auto source = open_source(folder.write("many.zip", zip.bytes()));
  std::vector<int> right(6, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const int k = (i * 7 + static_cast<int>(t)) % 40;
        right[t] += source->read("f/" + std::to_string(k)) == Bytes(static_cast<size_t>(1000 + k), static_cast<uint8_t>(k));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(6, 40));
}

// ---- bad input: each a sentence ----

TEST(BadArchive, MissingFileIsSaid) {
  EXPECT_EQ(test::sentence_of<DataError>([] { open_source("/no/such.zip"); }), "/no/such.zip: there is no such file or folder");
}

TEST(BadArchive, EmptyFileEmptyZipAndEmptyFolderAreSaid) {
  const test::TempFolder folder;
  const auto file = folder.write("empty.zip", {});
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(file); }).find("the file is empty"), std::string::npos);
  const auto zip = folder.write("nothing.zip", ZipMaker().bytes());
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(zip); }).find("it holds no file"), std::string::npos);
  std::filesystem::create_directory(folder.path() / "bare");
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(folder.path() / "bare"); }).find("it holds no file"), std::string::npos);
}

TEST(BadArchive, GarbageAndEveryCutAreSaid) {
  EXPECT_NE(test::sentence_of<DataError>([] {
              open_source(text("this is not a zip at all, but long enough to be one"), "g.zip");
            }).find("not a zip file"),
            std::string::npos);
  const Bytes whole = small_zip();
  for (size_t length = 1; length < whole.size(); ++length) {
    EXPECT_THROW(open_source(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)), "cut.zip"), DataError) << length;
  }
}

TEST(BadArchive, AWrongChecksumIsSaid) {
  const auto source = open_source(ZipMaker().add("a/1", text("one"), test::crc32(text("two")), 3).add("a/2", text("two")).bytes(), "z.zip");
  EXPECT_NE(test::sentence_of<DataError>([&] { source->read("a/1"); }).find("z.zip: a/1 cannot be read"), std::string::npos);
  EXPECT_EQ(source->read("a/2"), text("two"));  // the handle is still good
}

TEST(BadArchive, AWrongSizeIsSaid) {
  for (const uint32_t stated : {0u, 2u, 4u, 100'000'000u}) {
    Bytes zip = ZipMaker().add("a/1", text("one"), test::crc32(text("one")), stated).bytes();
    try {
      const auto source = open_source(zip, "z.zip");
      EXPECT_THROW(source->read("a/1"), DataError) << stated;
    } catch (const DataError&) {
      SUCCEED() << "libzip may notice already when it opens";
    }
  }
}

TEST(BadArchive, AnEntryThatWouldFillTheMemoryIsNotRead) {
  const auto source = open_source(ZipMaker().add("a/1", text("one"), 0, 0xF0000000u).bytes(), "z.zip");
  EXPECT_NE(test::sentence_of<DataError>([&] { source->read("a/1"); }).find("3840 MiB and at most 256 are read"), std::string::npos);
}

TEST(BadArchive, PathsThatLeadOutAreRefused) {
  for (const std::string path : {"../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:/x.jpg", "a\\..\\x.jpg"}) {
    const Bytes zip = ZipMaker().add("a/1.jpg", text("one")).add(path, text("x")).bytes();
    EXPECT_NE(test::sentence_of<DataError>([&] { open_source(zip, "z.zip"); }).find("leads out of it"), std::string::npos) << path;
  }
}

TEST(BadArchive, AnUnknownPathIsSaid) {
  EXPECT_EQ(test::sentence_of<DataError>([] { open_source(small_zip(), "z.zip")->read("a/9.txt"); }), "z.zip: it holds no \"a/9.txt\"");
}

}  // namespace
}  // namespace mirilla::data
