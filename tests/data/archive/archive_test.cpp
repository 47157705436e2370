// SPDX-License-Identifier: MIT
#include "data/archive/archive.h"

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

TEST(Archive, ReportsWhatItSkipsInAFolder) {
  const test::TempFolder folder;
  folder.write("a/1.txt", text("one"));
  std::filesystem::create_symlink("loop.jpg", folder.path() / "a/loop.jpg");
  const auto source = open_source(folder.path());
  ASSERT_EQ(source->unusable().size(), 1u);
  EXPECT_EQ(source->unusable()[0].path, "a/loop.jpg");
  EXPECT_EQ(source->unusable()[0].reason, "a link that is part of a circle");
  EXPECT_EQ(source->folders(), std::vector{"a"s});
}

TEST(Archive, ReadsNamesThatAreNoUtf8AndKeepsThemApart) {
  const test::TempFolder folder;
  folder.write("for\xEAt/1.txt", text("one"));
  folder.write("for\xE9t/1.txt", text("two"));
  folder.write("for\\xE9t/1.txt", text("three"));
  folder.write("a\x1b[31m\n/1.txt", text("four"));
  folder.write("x:y/1.txt", text("five"));  // on a disk a colon is an ordinary character
  const auto source = open_source(folder.path());
  EXPECT_EQ(paths(*source),
            (std::vector{"a\\x1B[31m\\x0A/1.txt"s, "for\\x5CxE9t/1.txt"s, "for\\xE9t/1.txt"s, "for\\xEAt/1.txt"s, "x:y/1.txt"s}));
  EXPECT_EQ(source->read("for\\xEAt/1.txt"), text("one"));
  EXPECT_EQ(source->read("for\\xE9t/1.txt"), text("two"));
  EXPECT_EQ(source->read("for\\x5CxE9t/1.txt"), text("three"));
  EXPECT_EQ(source->read("a\\x1B[31m\\x0A/1.txt"), text("four"));
}

TEST(Archive, ReadsNamesInAZipWhateverTheirEncoding) {
  constexpr uint32_t kUtf8 = 1u << 11;
  ZipMaker zip;
  zip.add(
      "stra\xE1"
      "e/1.txt",
      text("one"));                                                             // CP437, as DOS and Windows wrote it
  zip.add("for\xEAt/1.txt", text("two")).add("for\xE9t/1.txt", text("three"));  // Latin-1, which CP437 reads as other letters
  zip.add("m\u00EAr/1.txt", text("four"), ZipMaker::Says{.flags = kUtf8}).add("a\nb/1.txt", text("five"));
  zip.add("./c//./1.txt", text("six"));
  const auto source = open_source(zip.bytes(), "z.zip");
  EXPECT_EQ(paths(*source),
            (std::vector{"a\\x0Ab/1.txt"s, "c/1.txt"s, "for\u0398t/1.txt"s, "for\u03A9t/1.txt"s, "m\u00EAr/1.txt"s, "stra\u00DFe/1.txt"s}));
  for (const auto& [path, word] : std::vector<std::pair<std::string, std::string>>{{"stra\u00DFe/1.txt", "one"},
                                                                                   {"for\u03A9t/1.txt", "two"},
                                                                                   {"for\u0398t/1.txt", "three"},
                                                                                   {"m\u00EAr/1.txt", "four"},
                                                                                   {"c/1.txt", "six"}})
    EXPECT_EQ(source->read(path), text(word)) << path;
}

TEST(Archive, OfTwoFilesWithOneNameTheFirstIsUsedAndTheOtherReported) {
  const auto source = open_source(ZipMaker().add("a/1", text("one")).add("b/2", text("x")).add("a/1", text("two")).bytes(), "z.zip");
  EXPECT_EQ(paths(*source), (std::vector{"a/1"s, "b/2"s}));
  EXPECT_EQ(source->read("a/1"), text("one"));
  ASSERT_EQ(source->unusable().size(), 1u);
  EXPECT_EQ(source->unusable()[0].path, "a/1");
}

TEST(Archive, ALinkInAZipIsReportedAndNotReadAsAPicture) {
  const auto source = open_source(
      ZipMaker().add("a/1.jpg", text("one")).add("a/2.jpg", text("1.jpg"), ZipMaker::Says{.unix_mode = 0120777}).bytes(), "z.zip");
  EXPECT_EQ(paths(*source), std::vector{"a/1.jpg"s});
  ASSERT_EQ(source->unusable().size(), 1u);
  EXPECT_EQ(source->unusable()[0].path, "a/2.jpg");
  EXPECT_EQ(source->unusable()[0].reason, "a link that is not followed in a zip");
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

// ---- bad input: each gives one sentence ----

TEST(BadArchive, MissingFileIsReported) {
  EXPECT_EQ(test::sentence_of<DataError>([] { open_source("/no/such.zip"); }), "/no/such.zip: there is no such file or folder");
}

TEST(BadArchive, EmptyFileEmptyZipAndEmptyFolderAreReported) {
  const test::TempFolder folder;
  const auto file = folder.write("empty.zip", {});
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(file); }).find("the file is empty"), std::string::npos);
  const auto zip = folder.write("nothing.zip", ZipMaker().bytes());
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(zip); }).find("it contains no file"), std::string::npos);
  std::filesystem::create_directory(folder.path() / "bare");
  EXPECT_NE(test::sentence_of<DataError>([&] { open_source(folder.path() / "bare"); }).find("it contains no file"), std::string::npos);
}

TEST(BadArchive, GarbageAndEveryCutAreReported) {
  EXPECT_NE(test::sentence_of<DataError>([] {
              open_source(text("this is not a zip at all, but long enough to be one"), "g.zip");
            }).find("not a zip file"),
            std::string::npos);
  const Bytes whole = small_zip();
  for (size_t length = 1; length < whole.size(); ++length) {
    EXPECT_THROW(open_source(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)), "cut.zip"), DataError) << length;
  }
}

std::string refusal(const std::vector<uint8_t>& bytes, const std::string& name) {
  const test::TempFolder folder;
  const auto path = folder.write(name, bytes);
  try {
    open_source(path);
  } catch (const DataError& error) {
    const std::string whole = error.what();
    EXPECT_NE(whole.find("\n  hint: "), std::string::npos) << whole;
    return whole.substr(folder.path().string().size() + 1);
  }
  ADD_FAILURE() << name << " was opened";
  return {};
}

TEST(BadArchive, AnotherFileInsteadOfAZipIsNamedWithAHint) {
  const auto padded = [](const std::string& s) { return text(s + std::string(600, '\0')); };
  Bytes tar(1024, 0);
  std::copy_n("ustar", 5, tar.begin() + 257);
  tar[0] = 'a';
  const std::tuple<std::string, Bytes, std::string, std::string> cases[] = {
      {"photos.rar", padded("Rar!\x1A\x07\x01"), "not a zip file but a RAR archive", "unrar x"},
      {"photos.7z", padded("7z\xBC\xAF\x27\x1C"), "not a zip file but a 7z archive", "7z x"},
      {"photos.tar", tar, "not a zip file but a tar archive", "tar xf"},
      {"photos.tar.gz", padded("\x1F\x8B\x08"), "not a zip file but a gzip file", "tar xf"},
      {"photos.tar.xz",
       padded("\xFD"
              "7zXZ"),
       "not a zip file but an xz file", "tar xf"},
      {"rar.zip", padded("Rar!\x1A\x07"), "not a zip file but a RAR archive", "unrar x"},
      {"page.zip", text("\xEF\xBB\xBF \n<!DOCTYPE html><html>please log in</html>"), "not a zip file but a web page", "login"},
      {"error.zip", text("<?xml version=\"1.0\"?><Error>AccessDenied</Error>"), "not a zip file but an XML page", "login"},
      {"lfs.zip", text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), "a Git LFS pointer", "git lfs pull"},
      {"photo.jpg", padded("\xFF\xD8\xFF\xE0"), "not a zip file but one picture (JPEG)", "<class>/<picture>"},
      {"photo.heic",
       padded(std::string("\0\0\0\x18"
                          "ftypheic",
                          12)),
       "not a zip file but one picture (HEIC)", "<class>/<picture>"},
      {"zeros.zip", Bytes(5000, 0), "only with zeros", "interrupted"},
      {"notes.txt", text("one, two"), "not a zip file but a text file", ""},
      {"photos.zip.001", padded("PK\x03\x04"), "one part of an archive that was split", "cat photos.zip.*"},
      {"photos.z01", padded("PK\x07\x08"), "one part of an archive that was split", "zip -s 0"},
      {"photos.zip", padded("PK\x03\x04\x14"), "the end of the zip is missing", "fetch it again"},
      {"data.h5", padded("\x89HDF\r\n\x1A\n"), "not a zip file but an HDF5 file", "<class>/<picture>"},
      {"noise.zip", padded("\x01\x02\x03\x04\x05"), "not a zip file", "<class>/<picture>"},
  };
  for (const auto& [name, bytes, what, advice] : cases) {
    const std::string told = refusal(bytes, name);
    EXPECT_TRUE(told.starts_with(name + ": ")) << told;
    EXPECT_NE(told.find(what), std::string::npos) << told;
    EXPECT_NE(told.find(advice), std::string::npos) << told;
  }
}

TEST(BadArchive, TheLastPartOfASplitZipIsNamed) {
  Bytes zip = small_zip();
  zip[zip.size() - 18] = 1;  // the number of this part
  zip[zip.size() - 16] = 1;
  EXPECT_NE(refusal(zip, "photos.zip").find("the last part of a zip that was split"), std::string::npos) << refusal(zip, "photos.zip");
}

TEST(BadArchive, LockedFilesAreNamedOnceForAll) {
  constexpr ZipMaker::Says kLocked{.flags = 1};
  EXPECT_NE(refusal(ZipMaker().add("a/1.jpg", text("one"), kLocked).add("b/2.jpg", text("two"), kLocked).bytes(), "z.zip")
                .find("its files are locked with a password"),
            std::string::npos);
  const auto source = open_source(ZipMaker().add("a/1.jpg", text("one"), kLocked).add("b/2.jpg", text("two")).bytes(), "z.zip");
  EXPECT_EQ(test::sentence_of<DataError>([&] { source->read("a/1.jpg"); }), "z.zip: a/1.jpg cannot be read: it is locked with a password");
  EXPECT_EQ(source->read("b/2.jpg"), text("two"));
}

TEST(BadArchive, APackingThatIsNotKnownIsNamed) {
  constexpr ZipMaker::Says kDeflate64{.method = 9};
  EXPECT_NE(refusal(ZipMaker().add("a/1.jpg", text("one"), kDeflate64).bytes(), "z.zip").find("compressed with Deflate64"),
            std::string::npos);
  const auto source = open_source(ZipMaker().add("a/1.jpg", text("one"), kDeflate64).add("b/2.jpg", text("two")).bytes(), "z.zip");
  EXPECT_EQ(test::sentence_of<DataError>([&] { source->read("a/1.jpg"); }),
            "z.zip: a/1.jpg cannot be read: it is compressed by a method that is not supported here");
}

TEST(BadArchive, NamesLongerThanAFileSystemTakesAreRefused) {
  for (const std::string& name : {"a/" + std::string(2000, 'x') + ".jpg", std::string(5000, '/') + "1.jpg", [] {
                                    std::string deep;
                                    for (int i = 0; i < 1500; ++i) deep += "abc/";
                                    return deep + "1.jpg";
                                  }()}) {
    const std::string told = test::sentence_of<DataError>(
        [&, path = name.starts_with('/') ? "a" + name : name] { open_source(ZipMaker().add(path, text("x")).bytes(), "z.zip"); });
    EXPECT_NE(told.find("longer than any file system allows"), std::string::npos) << told;
    EXPECT_LT(told.size(), 300u);
  }
}

TEST(BadArchive, NoErrorBringsALibrarysOwnWords) {
  const auto cut = ZipMaker().add("a/1", text("one"), test::crc32(text("two")), 3).bytes();
  const auto source = open_source(cut, "z.zip");
  EXPECT_EQ(test::sentence_of<DataError>([&] { source->read("a/1"); }), "z.zip: a/1 cannot be read: its checksum is wrong");
}

TEST(BadArchive, AFolderThatVanishesBetweenListingAndReadingIsReported) {
  const test::TempFolder folder;
  const auto path = folder.write("a/1.jpg", text("one"));
  folder.write("a/2.jpg", text("two"));
  const auto source = open_source(folder.path());
  std::filesystem::remove(path);
  EXPECT_EQ(test::sentence_of<DataError>([&] { source->read("a/1.jpg"); }),
            folder.path().string() + ": a/1.jpg cannot be read: it does not exist");
  folder.write("a/2.jpg", text("longer"));
  EXPECT_NE(test::sentence_of<DataError>([&] { source->read("a/2.jpg"); }).find("changed in size"), std::string::npos);
  std::filesystem::remove(folder.path() / "a/2.jpg");
  std::filesystem::create_directory(folder.path() / "a/2.jpg");
  EXPECT_NE(test::sentence_of<DataError>([&] { source->read("a/2.jpg"); }).find("a/2.jpg"), std::string::npos);
}

TEST(BadArchive, APathThatCannotBeOpenedIsReportedInOurWords) {
  const test::TempFolder folder;
  std::filesystem::create_symlink("loop", folder.path() / "loop");
  EXPECT_EQ(test::sentence_of<DataError>([&] { open_source(folder.path() / "loop"); }),
            (folder.path() / "loop").string() + ": it cannot be opened: its links form a circle");
  std::filesystem::create_symlink("nowhere", folder.path() / "dangling");
  EXPECT_EQ(test::sentence_of<DataError>([&] { open_source(folder.path() / "dangling"); }),
            (folder.path() / "dangling").string() + ": a link that leads nowhere");
  const std::string told = test::sentence_of<DataError>([&] { open_source(folder.path() / std::string(5000, 'x')); });
  EXPECT_NE(told.find("its path is too long for the system"), std::string::npos);
  EXPECT_LT(told.size(), 300u);
}

TEST(BadArchive, AWrongChecksumIsReported) {
  const auto source = open_source(ZipMaker().add("a/1", text("one"), test::crc32(text("two")), 3).add("a/2", text("two")).bytes(), "z.zip");
  EXPECT_NE(test::sentence_of<DataError>([&] { source->read("a/1"); }).find("z.zip: a/1 cannot be read"), std::string::npos);
  EXPECT_EQ(source->read("a/2"), text("two"));  // the handle still works
}

TEST(BadArchive, AWrongSizeIsReported) {
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
    EXPECT_NE(test::sentence_of<DataError>([&] { open_source(zip, "z.zip"); }).find("leads outside"), std::string::npos) << path;
  }
}

TEST(BadArchive, AnUnknownPathIsReported) {
  EXPECT_EQ(test::sentence_of<DataError>([] { open_source(small_zip(), "z.zip")->read("a/9.txt"); }),
            "z.zip: it does not contain \"a/9.txt\"");
}

}  // namespace
}  // namespace mirilla::data
