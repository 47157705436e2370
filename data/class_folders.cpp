// SPDX-License-Identifier: MIT
#include "data/class_folders.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "data/archive/foreign.h"
#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

using Labels = std::set<std::string, std::less<>>;

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// The direct contents of a folder.
struct Folder {
  int64_t items = 0;
  std::map<std::string, int64_t> kinds;  // pictures of kinds that are not decoded, counted by extension
  std::string first_picture;             // the first of those pictures
  std::vector<const Entry*> unknown;     // files whose names do not tell their kind
  int64_t files = 0;
};
using Folders = std::map<std::string, Folder, std::less<>>;

/// Whether the name says that a file is not a picture.
bool is_other_name(std::string_view path) {
  static constexpr std::array kOthers = {
      "txt"sv, "csv"sv, "tsv"sv, "json"sv, "xml"sv, "md"sv,  "html"sv, "htm"sv, "py"sv,  "ipynb"sv,   "yaml"sv,   "yml"sv,        "log"sv,
      "npy"sv, "npz"sv, "pkl"sv, "pth"sv,  "pt"sv,  "mat"sv, "h5"sv,   "pdf"sv, "doc"sv, "docx"sv,    "xls"sv,    "xlsx"sv,       "mp4"sv,
      "mov"sv, "avi"sv, "mp3"sv, "wav"sv,  "db"sv,  "ini"sv, "sh"sv,   "js"sv,  "css"sv, "parquet"sv, "sqlite"sv, "safetensors"sv};
  return is_archive_name(path) || std::find(kOthers.begin(), kOthers.end(), lower_extension(path)) != kOthers.end();
}

Folders folders_of(const Source& source, std::span<const Item> items, const ClassFolderOptions& options) {
  Folders folders;
  for (const std::string& path : source.folders())
    if (options.in_scope(path) && !is_mask_path(path + "/")) folders.try_emplace(path);
  for (const Entry& entry : source.entries()) {
    if (!options.in_scope(folder_of(entry.path)) || is_mask_path(entry.path)) continue;
    Folder& folder = folders[std::string(folder_of(entry.path))];
    ++folder.files;
    if (is_image_name(entry.path)) {
      if (is_decodable_name(entry.path)) continue;
      ++folder.kinds[lower_extension(entry.path)];
      if (folder.first_picture.empty()) folder.first_picture = entry.path;
    } else if (!is_other_name(entry.path)) {
      folder.unknown.push_back(&entry);
    }
  }
  for (const Item& item : items) ++folders[std::string(folder_of(item.path))].items;
  return folders;
}

std::string kinds_of(const std::map<std::string, int64_t>& kinds) {
  std::vector<std::string> all;
  for (const auto& [kind, n] : kinds) all.push_back(fmt::format("{} {}", n, kind));
  return listed(all, 6);
}

/// Reads the content of files whose names do not tell their kind, a few per folder only.
class Looker {
 public:
  explicit Looker(const Source& source) : source_(source) {}

  /// A file of the folder that is a picture by its content, and its kind.
  std::pair<std::string, std::string_view> picture_in(const Folder& folder) {
    constexpr size_t kEach = 2;
    constexpr uint64_t kMostBytes = uint64_t{64} << 20;
    for (size_t i = 0; i < std::min(kEach, folder.unknown.size()) && left_ > 0; ++i) {
      if (folder.unknown[i]->size > kMostBytes) continue;
      --left_;
      try {
        const std::vector<uint8_t> bytes = source_.read(folder.unknown[i]->path);
        if (const std::string_view kind = picture_kind(bytes); !kind.empty()) return {folder.unknown[i]->path, kind};
      } catch (const DataError&) {  // it cannot be decoded as a picture
      }
    }
    return {};
  }

 private:
  const Source& source_;
  int left_ = 200;
};

[[noreturn]] void throw_lost(const Source& source, std::string_view folder, const Folder& found) {
  int64_t pictures = 0;
  for (const auto& [kind, n] : found.kinds) pictures += n;
  throw DataError(
      fmt::format("{}: the class {} would be missing: its folder has {}, but none of a supported kind: {} ({})", source.name(),
                  in_quotes(name_of(folder)), counted(pictures, "picture"), kinds_of(found.kinds), shortened(found.first_picture)),
      "save them as jpg or png, or remove the folder from the data");
}

[[noreturn]] void throw_unnamed(const Source& source, std::string_view folder, const Folder& found,
                                const std::pair<std::string, std::string_view>& picture) {
  throw DataError(fmt::format("{}: the class {} would be missing: none of its files ({}) has a picture's extension, though {} is a picture "
                              "({}) by its content",
                              source.name(), in_quotes(name_of(folder)), found.files, shortened(picture.first), picture.second),
                  "give the files their extension, such as IMG_1234.jpg");
}

/// Whether a folder that gives no picture is that of an earlier run, of which Results says what there is to say.
bool is_of_a_run(const Results* results, std::string_view folder) { return results != nullptr && results->in_folder(folder); }

bool has_anything_below(const Source& source, const std::string& folder) {
  const std::string begin = folder + "/";
  const auto& entries = source.entries();
  const auto place =
      std::lower_bound(entries.begin(), entries.end(), begin, [](const Entry& entry, const std::string& b) { return entry.path < b; });
  return place != entries.end() && place->path.starts_with(begin);
}

/// The folders that contain class folders.
Labels parents_of_classes(const Folders& folders) {
  Labels parents;
  for (const auto& [path, folder] : folders)
    if (folder.items > 0) parents.emplace(folder_of(path));
  return parents;
}

/// Folders beside class folders that contribute no picture.
void check_bare_folders(const Source& source, const Folders& folders, const Labels& labels, const ClassFolderOptions& options,
                        std::vector<std::string>& notes) {
  const Labels parents = parents_of_classes(folders);
  std::vector<std::string> empty, others;
  for (const auto& [path, folder] : folders) {
    if (path.empty() || folder.items > 0 || !parents.contains(folder_of(path)) || labels.contains(name_of(path))) continue;
    if (part_of_name(name_of(path)) || !folder.kinds.empty() || is_of_a_run(options.results, path)) continue;
    if (!has_anything_below(source, path)) {
      empty.push_back(in_quotes(path));
    } else if (folder.files > 0) {
      others.push_back(in_quotes(path));
    }
  }
  for (const Unusable& one : source.unusable()) {  // a link to a class folder that no longer exists
    if (parents.contains(folder_of(one.path)) && lower_extension(one.path).empty() && !labels.contains(name_of(one.path)) &&
        one.reason.starts_with("a link that"))
      empty.push_back(fmt::format("{} ({})", in_quotes(one.path), one.reason));
  }
  if (!empty.empty() && options.refuse_empty_folders)
    throw DataError(fmt::format("{}: among the class folders, {} {} without a picture", source.name(), listed(empty),
                                empty.size() == 1 ? "is one" : "are folders"),
                    "a class needs pictures to train on: add some, or remove the folder");
  if (!empty.empty()) notes.push_back(fmt::format("there is no picture in {}", listed(empty)));
  if (!others.empty())
    notes.push_back(fmt::format("{} {} files but no picture, and {} not a class", listed(others),
                                others.size() == 1 ? "contains" : "contain", others.size() == 1 ? "is" : "are"));
}

void note_archives(const Source& source, const ClassFolderOptions& options, std::vector<std::string>& notes) {
  std::vector<std::string> archives;
  for (const Entry& entry : source.entries())
    if (options.in_scope(folder_of(entry.path)) && is_archive_name(entry.path)) archives.push_back(shortened(entry.path));
  if (!archives.empty()) notes.push_back(fmt::format("archives inside the data are not opened: {}", listed(archives)));
}

void note_unusable(const Source& source, const ClassFolderOptions& options, std::vector<std::string>& notes) {
  constexpr size_t kMostNamed = 20;
  size_t n = 0;
  for (const Unusable& one : source.unusable()) {
    const bool may_matter = is_image_name(one.path) || lower_extension(one.path).empty();
    const bool in_scope = options.in_scope(folder_of(one.path)) || options.in_scope(one.path);
    if (!may_matter || !in_scope || ++n > kMostNamed) continue;
    notes.push_back(fmt::format("skipped {}: {}", shortened(one.path), one.reason));
  }
  if (n > kMostNamed) notes.push_back(fmt::format("and {} more were skipped", n - kMostNamed));
}

}  // namespace

std::vector<std::string> check_class_folders(const Source& source, std::span<const Item> items, const ClassFolderOptions& options) {
  const Folders folders = folders_of(source, items, options);
  Labels labels;
  for (const Item& item : items) labels.insert(item.label);
  std::vector<std::string> notes;
  std::map<std::string, int64_t> kinds;
  std::string first;
  Looker looker(source);
  for (const auto& [path, folder] : folders) {
    const bool is_lost = folder.items == 0 && !path.empty() && !labels.contains(name_of(path));
    if (is_lost && !folder.kinds.empty()) throw_lost(source, path, folder);
    for (const auto& [kind, n] : folder.kinds) kinds[kind] += n;
    if (first.empty()) first = folder.first_picture;
    if (folder.unknown.empty()) continue;
    const auto picture = looker.picture_in(folder);
    if (picture.first.empty()) continue;
    if (is_lost) throw_unnamed(source, path, folder, picture);
    notes.push_back(
        fmt::format("{} is a picture ({}) by its content but not by its name; it is left out, like all files there without a picture's "
                    "extension ({})",
                    shortened(picture.first), picture.second, counted(static_cast<int64_t>(folder.unknown.size()), "file")));
  }
  if (!kinds.empty())
    notes.push_back(fmt::format("pictures of unsupported kinds are left out: {} (such as {})", kinds_of(kinds), shortened(first)));
  check_bare_folders(source, folders, labels, options, notes);
  note_archives(source, options, notes);
  note_unusable(source, options, notes);
  return notes;
}

}  // namespace mirilla::data
