// SPDX-License-Identifier: MIT
#include <cerrno>
#include <fstream>
#include <map>
#include <system_error>

#include "data/archive/archive_sources.h"
#include "data/archive/names.h"
#include "data/archive/walk.h"
#include "kernels/core/error.h"

namespace mirilla::data::detail {

namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> read_file(const fs::path& path, const std::string& source, const std::string& entry, uint64_t expected) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes(expected + 1);  // one byte more detects a file that has grown
  if (file) file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file.is_open() || file.bad()) {
    const std::error_code error(errno, std::generic_category());
    throw DataError(fmt::format("{}: {} cannot be read: {}", source, entry, reason_of(error)));
  }
  if (static_cast<uint64_t>(file.gcount()) != expected) {
    throw DataError(fmt::format("{}: {} changed in size while it was read", source, entry));
  }
  bytes.resize(expected);
  return bytes;
}

class FolderSource final : public Source {
 public:
  FolderSource(fs::path root, std::span<const fs::path> leave_out) : Source(shown(root.string())), root_(std::move(root)) {
    const FolderListing listing = list_folder(root_, leave_out);
    if (!listing.unreadable.empty()) {
      const auto& [path, reason] = listing.unreadable.front();
      throw DataError(path.empty() ? fmt::format("{}: the folder cannot be listed: {}", name(), reason)
                                   : fmt::format("{}: the folder {} cannot be listed: {}", name(), shortened(shown(path)), reason),
                      "its pictures would be missing without notice; make the folder readable, or remove it");
    }
    std::vector<Entry> entries;
    for (const auto& [path, size] : listing.files) entries.push_back({readable(path), size});
    std::vector<std::string> folders;
    for (const std::string& path : listing.folders) folders.push_back(shown(path));
    std::vector<Unusable> unusable;
    for (const auto& [path, reason] : listing.skipped) unusable.push_back({shown(path), reason});
    set_contents(std::move(entries), std::move(folders), std::move(unusable));
  }

 private:
  std::string readable(const std::string& path) {
    std::string text = shown(path);
    if (text != path) real_names_.emplace(text, path);
    return text;
  }

  std::vector<uint8_t> read_entry(const Entry& entry) const override {
    check_entry_size(name(), entry.path, entry.size);
    const auto real = real_names_.find(entry.path);
    return read_file(root_ / (real == real_names_.end() ? entry.path : real->second), name(), entry.path, entry.size);
  }

  fs::path root_;
  std::map<std::string, std::string> real_names_;  // for the paths that shown() changes
};

}  // namespace

std::shared_ptr<const Source> open_folder(const fs::path& path, std::span<const fs::path> leave_out) {
  return std::make_shared<FolderSource>(path, leave_out);
}

}  // namespace mirilla::data::detail
