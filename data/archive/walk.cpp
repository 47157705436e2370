// SPDX-License-Identifier: MIT
#include "data/archive/walk.h"

#include <algorithm>
#include <map>
#include <set>
#include <system_error>

#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

namespace fs = std::filesystem;

class Walk {
 public:
  Walk(const fs::path& root, std::span<const fs::path> leave_out) : root_(root) {
    for (const fs::path& folder : leave_out) {
      std::error_code missing;
      if (const fs::path real = fs::canonical(folder, missing); !missing) left_out_.insert(real.string());
    }
  }

  FolderListing run() {
    std::error_code error;
    const fs::path real = fs::canonical(root_, error);
    if (error) {
      listing_.unreadable.push_back({"", reason_of(error)});
      return std::move(listing_);
    }
    descend({"", real.string()});
    // Follow links last: their targets may have been listed under their own paths.
    while (!links_.empty()) {
      const std::string link = links_.extract(links_.begin()).value();
      const fs::path target = fs::canonical(root_ / link, error);
      error ? skip(link, reason_of(error)) : descend({link, target.string()});
    }
    sort();
    return std::move(listing_);
  }

 private:
  struct Folder {
    std::string path;  // relative to the root
    std::string real;  // without links
  };

  static std::string joined(const std::string& folder, const std::string& name) { return folder.empty() ? name : folder + "/" + name; }
  void skip(const std::string& path, std::string reason) { listing_.skipped.push_back({path, std::move(reason)}); }

  /// Lists the folder and those below it that are not links.
  void descend(Folder first) {
    std::vector<Folder> open{std::move(first)};
    while (!open.empty()) {
      const Folder folder = std::move(open.back());
      open.pop_back();
      if (!folder.path.empty() && left_out_.contains(folder.real)) continue;
      const auto [known, is_new] = listed_.try_emplace(folder.real, folder.path);
      if (!is_new) {
        skip(folder.path, said_twice(folder.path, known->second));
        continue;
      }
      if (!folder.path.empty()) listing_.folders.push_back(folder.path);
      list(folder, open);
    }
  }

  static std::string said_twice(const std::string& path, const std::string& known) {
    if (known.empty() || path.starts_with(known + "/")) return "it leads back to a folder that contains it";
    return fmt::format("the same folder as {}, whose pictures count once", shown(known));
  }

  void list(const Folder& folder, std::vector<Folder>& open) {
    std::error_code error;
    auto it = fs::directory_iterator(root_ / folder.path, error);
    for (; !error && it != fs::directory_iterator(); it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (is_hidden_name(name)) continue;
      std::error_code unknown;  // of a file that has been removed meanwhile
      const std::string path = joined(folder.path, name);
      if (it->is_symlink(unknown)) {
        follow(path);
      } else if (it->is_directory(unknown)) {
        open.push_back({path, folder.real + (folder.real.ends_with('/') ? "" : "/") + name});
      } else {
        add(path, it->is_regular_file(unknown), unknown);
      }
    }
    if (error) listing_.unreadable.push_back({folder.path, reason_of(error)});
  }

  void follow(const std::string& path) {
    std::error_code error;
    const fs::file_type type = fs::status(root_ / path, error).type();
    if (type == fs::file_type::directory) {
      links_.insert(path);
    } else if (type == fs::file_type::not_found) {
      skip(path, "a link that leads nowhere");
    } else if (error == std::errc::too_many_symbolic_link_levels) {
      skip(path, "a link that is part of a circle");
    } else if (error) {
      skip(path, "a link that cannot be followed: " + reason_of(error));
    } else {
      add(path, type == fs::file_type::regular, {});
    }
  }

  void add(const std::string& path, bool is_file, std::error_code error) {
    const uint64_t size = is_file && !error ? fs::file_size(root_ / path, error) : 0;
    if (error == std::errc::no_such_file_or_directory) return;  // it was removed meanwhile
    if (error) return skip(path, reason_of(error));
    is_file ? listing_.files.push_back({path, size}) : skip(path, "neither a file nor a folder");
  }

  void sort() {
    const auto by_path = [](const auto& a, const auto& b) { return a.path < b.path; };
    std::sort(listing_.files.begin(), listing_.files.end(), by_path);
    std::sort(listing_.skipped.begin(), listing_.skipped.end(), by_path);
    std::sort(listing_.unreadable.begin(), listing_.unreadable.end(), by_path);
    std::sort(listing_.folders.begin(), listing_.folders.end());
  }

  const fs::path& root_;
  std::set<std::string> left_out_;
  std::set<std::string> links_;                // to folders, not followed yet
  std::map<std::string, std::string> listed_;  // real path -> path
  FolderListing listing_;
};

}  // namespace

FolderListing list_folder(const fs::path& root, std::span<const fs::path> leave_out) { return Walk(root, leave_out).run(); }

}  // namespace mirilla::data
