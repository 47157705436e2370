// SPDX-License-Identifier: MIT
#include "data/archive/archive.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "data/archive/archive_sources.h"
#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

namespace fs = std::filesystem;

bool is_hidden(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    if (is_hidden_name(path.substr(0, slash))) return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

std::shared_ptr<const Source> not_empty(std::shared_ptr<const Source> source) {
  if (source->entries().empty() && source->unusable().empty())
    throw DataError(fmt::format("{}: it contains no file", source->name()), "put pictures in <class>/<picture>");
  return source;
}

}  // namespace

void detail::check_entry_size(const std::string& source, const std::string& path, uint64_t size) {
  if (size <= kMaxEntryBytes) return;
  throw DataError(fmt::format("{}: {} has {} MiB and at most {} are read", source, path, size >> 20, kMaxEntryBytes >> 20),
                  "a picture of that size is a mistake, or an archive made to fill the memory");
}

// ---- shared by both kinds ----

void Source::set_contents(std::vector<Entry> entries, std::vector<std::string> folders, std::vector<Unusable> unusable) {
  std::erase_if(entries, [](const Entry& entry) { return is_hidden(entry.path); });
  std::erase_if(folders, [](const std::string& path) { return is_hidden(path); });
  std::erase_if(unusable, [](const Unusable& one) { return is_hidden(one.path); });
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  for (Entry& entry : entries) {
    if (!entries_.empty() && entries_.back().path == entry.path) {
      unusable.push_back({entry.path, "a second file of this name; the first is used"});
    } else {
      entries_.push_back(std::move(entry));
    }
  }
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  folders_ = std::move(folders);
  unusable_ = std::move(unusable);
}

const Entry* Source::find(std::string_view path) const {
  const auto place =
      std::lower_bound(entries_.begin(), entries_.end(), path, [](const Entry& a, std::string_view p) { return a.path < p; });
  return place != entries_.end() && place->path == path ? &*place : nullptr;
}

bool Source::contains(std::string_view path) const { return find(path) != nullptr; }

std::vector<uint8_t> Source::read(std::string_view path) const {
  const Entry* entry = find(path);
  if (!entry) throw DataError(fmt::format("{}: it does not contain \"{}\"", name_, path));
  detail::check_entry_size(name_, entry->path, entry->size);
  return read_entry(*entry);
}

std::shared_ptr<const Source> open_source(const fs::path& path, std::span<const fs::path> leave_out) {
  const std::string name = shortened(shown(path.string()));
  constexpr const char* kExpected = "pictures come as a zip or a folder of <class>/<picture>";
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    throw DataError(
        fmt::format("{}: {}", name, fs::is_symlink(path, error) ? "a link that leads nowhere" : "there is no such file or folder"),
        kExpected);
  if (error) throw DataError(fmt::format("{}: it cannot be opened: {}", name, reason_of(error)), kExpected);
  if (fs::is_directory(status)) return not_empty(detail::open_folder(path, leave_out));
  if (!fs::is_regular_file(status)) throw DataError(fmt::format("{}: neither a file nor a folder", name), kExpected);
  if (fs::file_size(path, error) == 0 && !error) throw DataError(fmt::format("{}: the file is empty", name), "was it copied completely?");
  return not_empty(detail::open_zip(path, {}, name));
}

std::shared_ptr<const Source> open_source(std::vector<uint8_t> zip, std::string name) {
  if (zip.empty()) throw DataError(fmt::format("{}: the zip has no bytes", name));
  return not_empty(detail::open_zip({}, std::move(zip), std::move(name)));
}

}  // namespace mirilla::data
