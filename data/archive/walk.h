// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mirilla::data {

/// The contents of a folder. Paths are relative to it, divided by '/', in the file system's bytes (data/archive/names.h makes them
/// readable).
struct FolderListing {
  struct File {
    std::string path;
    uint64_t size = 0;
  };
  struct Skipped {
    std::string path;
    std::string reason;  // "a link that leads nowhere"
  };
  std::vector<File> files;
  std::vector<std::string> folders;
  std::vector<Skipped> skipped;     // links that lead nowhere, in a circle or to a folder that is listed already; pipes and devices
  std::vector<Skipped> unreadable;  // folders that the system refused to list
};

/// Lists the files below a folder; sorted. Hidden names (is_hidden_name) and the folders of `leave_out` are skipped silently.
/// Links are followed, and a folder is listed once: where several paths lead to it, the one without links counts, else the first in sorted
/// order. Never throws because of the contents; a root that is missing or cannot be read is in `unreadable`, with the path "".
FolderListing list_folder(const std::filesystem::path& root, std::span<const std::filesystem::path> leave_out = {});

}  // namespace mirilla::data
