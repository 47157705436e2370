// SPDX-License-Identifier: MIT
#include "kernels/core/atomic_file.h"

#include <stdexcept>

#include "tests/weights/support.h"

namespace mirilla {
namespace {

using weights::Folder;
using weights::sentence_of;
using weights::slurp;
using weights::spill;

TEST(AtomicFile, ReplacesTheWholeFile) {
  const Folder folder;
  spill(folder / "x", "the longer text that was there before");
  write_atomically(folder / "x", "new");
  EXPECT_EQ(slurp(folder / "x"), "new");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, AWriterThatThrowsLeavesTheOldFileAndNothingElse) {
  const Folder folder;
  spill(folder / "x", "old");
  const auto stops = [](std::ostream& out) {
    out << "half";
    throw std::runtime_error("stopped");
  };
  EXPECT_THROW(write_atomically(folder / "x", stops), std::runtime_error);
  EXPECT_EQ(slurp(folder / "x"), "old");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, AFullDeviceIsAnError) {
  const std::string much(1 << 20, 'x');
  EXPECT_NE(sentence_of<Error>([&] { write_atomically("/dev/full", much); }).find("'/dev/full' cannot be written: no space is left"),
            std::string::npos);
}

TEST(AtomicFile, AStreamThatFailedIsAnErrorAndNoFile) {
  const Folder folder;
  EXPECT_THROW(write_atomically(folder / "x", [](std::ostream& out) { out.setstate(std::ios::badbit); }), Error);
  EXPECT_EQ(folder.count(), 0u);
}

TEST(AtomicFile, WhatIsBeingWrittenIsRemovedByASignalHandler) {
  const Folder folder;
  spill(folder / "x", "old");
  const auto ended = [&](std::ostream& out) {
    out << "half" << std::flush;
    EXPECT_EQ(folder.count(), 2u);
    remove_unfinished_files();
    EXPECT_EQ(folder.count(), 1u);
  };
  EXPECT_THROW(write_atomically(folder / "x", ended), Error) << "here the program lives on, and there is nothing to rename";
  write_atomically(folder / "y", "whole");
  remove_unfinished_files();
  EXPECT_EQ(slurp(folder / "x"), "old");
  EXPECT_EQ(slurp(folder / "y"), "whole");
}

TEST(AtomicFile, ALinkStaysALink) {
  const Folder folder;
  spill(folder / "target", "old");
  std::filesystem::create_symlink("target", folder / "link");
  write_atomically(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(slurp(folder / "target"), "new");
}

TEST(AtomicFile, ADeviceIsWrittenToAndNotReplaced) {
  write_atomically("/dev/null", "gone");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(AtomicFile, FoldersAndMissingFoldersAreNamed) {
  const Folder folder;
  const std::string base = (folder / "").string();
  const auto sentence = [](const std::filesystem::path& path) { return sentence_of<Error>([&] { write_atomically(path, "x"); }); };
  EXPECT_EQ(sentence(folder / "none/x"), "'" + base + "none/x' cannot be written: there is no folder '" + base + "none'");
  std::filesystem::create_directory(folder / "sub");
  EXPECT_EQ(sentence(folder / "sub"), "'" + base + "sub' cannot be written: it is a folder");
  EXPECT_EQ(sentence(folder / "sub/"), "'" + base + "sub/' cannot be written: it names a folder and not a file");
  EXPECT_EQ(folder.count(), 1u);
}

}  // namespace
}  // namespace mirilla
