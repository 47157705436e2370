// SPDX-License-Identifier: MIT
#include "data/items.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <system_error>

#include "data/archive/foreign.h"
#include "data/archive/names.h"
#include "data/archive/walk.h"
#include "data/class_folders.h"
#include "data/results.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

// What Python's mimetypes calls image/*, with the common additions of a system's mime.types.
constexpr std::array kDecodable = {"jpg"sv, "jpeg"sv, "jpe"sv, "jfif"sv, "png"sv, "webp"sv, "bmp"sv,
                                   "gif"sv, "tga"sv,  "psd"sv, "ppm"sv,  "pgm"sv, "pnm"sv};
constexpr std::array kOtherImages = {"tif"sv, "tiff"sv, "avif"sv, "heic"sv, "heif"sv, "ico"sv, "jp2"sv, "jxl"sv, "pbm"sv, "pcx"sv,
                                     "svg"sv, "xbm"sv,  "xpm"sv,  "xwd"sv,  "ras"sv,  "rgb"sv, "ief"sv, "dng"sv, "nef"sv};

size_t extension_at(std::string_view path) {
  const size_t dot = path.rfind('.');
  const size_t slash = path.rfind('/');
  return dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash) ? path.size() : dot;
}

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

void limit(std::vector<Item>& items, int64_t per_class) {
  std::map<std::string, int64_t, std::less<>> taken;
  std::erase_if(items, [&](const Item& item) { return ++taken[item.label] > per_class; });
}

// ---- which folders ----

/// The folders of a part, or everything except some folders.
struct Scope {
  bool in_folders = false;  // whether to use only class folders below `folders`; otherwise everything outside of them
  std::vector<std::string> folders;

  bool contains(std::string_view folder) const {
    const bool below = std::any_of(folders.begin(), folders.end(), [&](const std::string& one) {
      return folder.starts_with(one) && (folder.size() == one.size() ? !in_folders : folder[one.size()] == '/');
    });
    return below == in_folders;
  }
};

std::vector<std::string> paths_of(std::span<const PartFolder> folders) {
  std::vector<std::string> paths;
  for (const PartFolder& folder : folders) paths.push_back(folder.path);
  return paths;
}

/// The parent of a part, without folders that only repeat its name: seg_train/seg_train -> "".
std::string_view place_of(const PartFolder& folder) {
  std::string_view place = folder.path;
  while (!place.empty() && part_of_name(place.substr(place.rfind('/') + 1)) == folder.part) place = folder_of(place);
  return place;
}

/// train/ beside Train/: it is unclear which one is meant.
void check_no_rivals(const Source& source, std::span<const PartFolder> folders) {
  for (size_t i = 0; i < folders.size(); ++i) {
    for (size_t k = i + 1; k < folders.size(); ++k) {
      if (place_of(folders[i]) != place_of(folders[k])) continue;
      throw DataError(fmt::format("{}: {} and {} lie next to each other, and both are names of the part \"{}\"", source.name(),
                                  in_quotes(folders[i].path), in_quotes(folders[k].path), word_of(folders[i].part)),
                      "merge them, or rename or move one of them");
    }
  }
}

/// The scope if no folder is the part `train`.
Scope scope_without_train(const Source& source, const Layout& layout, std::vector<std::string>& notes) {
  const auto others = static_cast<size_t>(
      std::count_if(layout.folders.begin(), layout.folders.end(), [](const PartFolder& folder) { return folder.has_classes(); }));
  if (layout.outside > 0 || others == 0) return {.folders = paths_of(layout.folders)};
  if (layout.folders.size() == 1) {
    notes.push_back(fmt::format("all pictures lie in {}: they are used for training", in_quotes(layout.folders[0].path)));
    return {.in_folders = true, .folders = {layout.folders[0].path}};
  }
  throw DataError(fmt::format("{}: it has {}, but no folder to train on", source.name(), listed(all_in_quotes(paths_of(layout.folders)))),
                  "put the training pictures in train/<class>/, or give only one of these folders");
}

/// The scope if no folder is the part `test`.
Scope scope_without_test(const Source& source, const Layout& layout) {
  Scope scope;
  for (const PartFolder& folder : layout.folders) {
    if (folder.part == Part::pred) scope.folders.push_back(folder.path);
    if (folder.part == Part::test)
      throw DataError(fmt::format("{}: {} has {} but no class folders, and measuring needs classes", source.name(), in_quotes(folder.path),
                                  counted(folder.unlabelled, "picture")),
                      "put the test pictures in test/<class>/; `predict` needs no classes");
  }
  return scope;
}

Scope scope_of(const Source& source, const Layout& layout, Part part, std::vector<std::string>& notes) {
  const std::vector<PartFolder> folders = layout.labelled(part);
  check_no_rivals(source, folders);
  if (!folders.empty()) return {.in_folders = true, .folders = paths_of(folders)};
  if (part == Part::train) return scope_without_train(source, layout, notes);
  if (part == Part::test) return scope_without_test(source, layout);
  throw DataError(fmt::format("{}: it has no pictures in {}/<class>/", source.name(), word_of(part)));
}

// ---- messages if there are no pictures ----

[[noreturn]] void throw_nothing(const Source& source, const Scope& scope) {
  std::map<std::string, int64_t> kinds;
  std::vector<std::string> archives;
  for (const Entry& entry : source.entries()) {
    if (!scope.contains(folder_of(entry.path)) || is_mask_path(entry.path)) continue;
    if (is_image_name(entry.path)) ++kinds[lower_extension(entry.path)];
    if (is_archive_name(entry.path)) archives.push_back(shortened(entry.path));
  }
  std::vector<std::string> others;
  for (const auto& [kind, n] : kinds) others.push_back(fmt::format("{} {}", n, kind));
  if (!others.empty())
    throw DataError(fmt::format("{}: it contains no picture of a supported kind, but {}", source.name(), listed(others, 6)),
                    "save them as jpg or png");
  if (!archives.empty())
    throw DataError(fmt::format("{}: it contains no picture, but {}", source.name(), listed(archives)),
                    "unpack it and use the resulting folder, or give the path of the zip itself");
  std::string unusable;
  if (!source.unusable().empty())
    unusable = fmt::format("; {} was skipped: {}", shortened(source.unusable()[0].path), source.unusable()[0].reason);
  throw DataError(fmt::format("{}: it contains no picture{}", source.name(), unusable),
                  "put pictures in <class>/<picture>: jpg, png, webp, bmp, gif, tga, psd, ppm, pgm");
}

/// train/1.jpg, test/2.jpg: these folders are not meant to be classes.
void check_labels_are_no_parts(const Source& source, std::span<const Item> items) {
  std::set<std::string> labels;
  for (const Item& item : items) labels.insert(item.label);
  if (!std::all_of(labels.begin(), labels.end(), [](const std::string& label) { return part_of_name(label).has_value(); })) return;
  throw DataError(fmt::format("{}: its pictures lie directly in {}, not in class folders", source.name(),
                              listed(all_in_quotes(std::vector<std::string>(labels.begin(), labels.end())))),
                  "a picture's class is the name of its folder: <class>/<picture>, or train/<class>/<picture>");
}

}  // namespace

std::string lower_extension(std::string_view path) {
  std::string extension(path.substr(std::min(extension_at(path) + 1, path.size())));
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

bool is_mask_path(std::string_view path) { return path.starts_with("masks/") || path.find("/masks/") != std::string_view::npos; }

bool is_decodable_name(std::string_view path) {
  return std::find(kDecodable.begin(), kDecodable.end(), lower_extension(path)) != kDecodable.end();
}

bool is_image_name(std::string_view path) {
  return is_decodable_name(path) || std::find(kOtherImages.begin(), kOtherImages.end(), lower_extension(path)) != kOtherImages.end();
}

ItemList find_items(const Source& source, const ItemOptions& options) {
  ItemList list;
  list.layout = find_layout(source);
  const Results results(source);
  const Scope scope = options.part ? scope_of(source, list.layout, *options.part, list.notes) : Scope{};
  if (scope.in_folders) list.folders = scope.folders;
  for (const Entry& entry : source.entries()) {
    const std::string_view folder = folder_of(entry.path);
    if (!is_decodable_name(entry.path) || is_mask_path(entry.path) || results.holds(entry.path) || !scope.contains(folder)) continue;
    if (folder.empty()) {
      throw DataError(
          fmt::format("{}: {} lies in no folder, but its class is the name of its folder", source.name(), shortened(entry.path)),
          "put each picture into a folder with the name of its class");
    }
    list.items.push_back({entry.path, std::string(folder.substr(folder.rfind('/') + 1))});
  }
  if (list.items.empty()) throw_nothing(source, scope);
  if (options.part == Part::train) check_labels_are_no_parts(source, list.items);
  const ClassFolderOptions checks{.in_scope = [&](std::string_view folder) { return scope.contains(folder); },
                                  .refuse_empty_folders = options.refuse_empty_folders,
                                  .results = &results};
  for (std::string& note : results.notes()) list.notes.push_back(std::move(note));
  for (std::string& note : check_class_folders(source, list.items, checks)) list.notes.push_back(std::move(note));
  for (std::string& note : remarks_on_classes(list.items, list.folders)) list.notes.push_back(std::move(note));
  if (options.limit_per_class > 0) limit(list.items, options.limit_per_class);
  return list;
}

std::optional<std::string> mask_path(const Source& source, std::string_view picture_path) {
  const std::string_view stem = picture_path.substr(0, extension_at(picture_path));
  for (size_t at = 0;;) {  // `masks/` before the first folder, before the second, ...
    for (const std::string_view name : {stem, picture_path}) {
      std::string candidate = fmt::format("{}masks/{}.png", name.substr(0, at), name.substr(at));
      if (source.contains(candidate)) return candidate;
    }
    const size_t slash = picture_path.find('/', at);
    if (slash == std::string_view::npos) return std::nullopt;
    at = slash + 1;
  }
}

namespace {

/// The path without its extension.
std::string_view stem_of(std::string_view path) { return path.substr(0, extension_at(path)); }

/// Whether a picture's name is what `mirilla gradcam` calls its results: IMG_1-gradcam.png beside IMG_1.jpg, gradcam.png and gradcam-2.png.
bool is_named_as_gradcam(std::string_view path, const std::set<std::string_view>& stems) {
  constexpr std::string_view kWord = "gradcam";
  if (!path.ends_with(".png")) return false;
  const std::string_view stem = stem_of(path), name = stem.substr(stem.rfind('/') + 1);
  if (name.ends_with("-gradcam")) return stems.contains(stem.substr(0, stem.size() - kWord.size() - 1));
  if (!name.starts_with(kWord)) return false;
  const std::string_view number = name.substr(kWord.size());
  return number.empty() || (number.size() > 1 && number[0] == '-' && number.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

/// Takes the results of `mirilla gradcam` out of the files, so that a second run in the folder of the photos does not read them.
std::string without_gradcam(std::vector<FolderListing::File>& files) {
  std::set<std::string_view> stems;
  for (const FolderListing::File& file : files)
    if (is_decodable_name(file.path)) stems.insert(stem_of(file.path));
  std::set<std::string> drawn;
  for (const FolderListing::File& file : files)
    if (is_named_as_gradcam(file.path, stems)) drawn.insert(file.path);
  if (drawn.empty()) return {};
  std::erase_if(files, [&](const FolderListing::File& file) { return drawn.contains(file.path); });
  return fmt::format("{} of `mirilla gradcam`, such as {}", counted(static_cast<int64_t>(drawn.size()), "picture"), *drawn.begin());
}

/// Adds the pictures below a folder, and notes on other files that the user may have meant.
void add_folder(const std::string& name, PictureFiles& pictures) {
  namespace fs = std::filesystem;
  const fs::path root = name;
  FolderListing listing = list_folder(root);
  const std::string drawn = without_gradcam(listing.files);
  const auto told = [&](const std::string& path) { return shortened(shown((root / path).string())); };
  std::vector<fs::path> below;
  std::map<std::string, int64_t> others;
  for (const auto& [path, size] : listing.files) {
    if (is_decodable_name(path)) {
      below.push_back(root / path);
    } else if (is_image_name(path)) {
      ++others[lower_extension(path)];
    }
  }
  for (const auto& [path, reason] : listing.unreadable)
    pictures.notes.push_back(fmt::format("skipped {}: the folder cannot be listed: {}", told(path), reason));
  for (const auto& [path, reason] : listing.skipped)
    if (is_image_name(path) || lower_extension(path).empty()) pictures.notes.push_back(fmt::format("skipped {}: {}", told(path), reason));
  std::vector<std::string> kinds;
  for (const auto& [kind, n] : others) kinds.push_back(fmt::format("{} {}", n, kind));
  std::string left_out = kinds.empty() ? "" : fmt::format("pictures of unsupported kinds: {}", listed(kinds, 6));
  if (!drawn.empty()) left_out += (left_out.empty() ? "" : "; ") + drawn;
  if (below.empty()) {
    const std::string why = !left_out.empty() ? "; " + left_out : pictures.notes.empty() ? "" : "; " + pictures.notes.back();
    throw DataError(fmt::format("{}: there is no picture in this folder or below{}", shown(name), why),
                    "pictures are jpg, png, webp, bmp, gif, tga, psd, ppm or pgm");
  }
  if (!left_out.empty()) pictures.notes.push_back(fmt::format("{}: left out {}", shown(name), left_out));
  std::sort(below.begin(), below.end());
  pictures.files.insert(pictures.files.end(), below.begin(), below.end());
}

}  // namespace

PictureFiles picture_files(std::span<const std::string> names) {
  namespace fs = std::filesystem;
  PictureFiles pictures;
  for (const std::string& name : names) {
    if (name.empty()) throw UsageError("expected a picture or a folder, got an empty name", "is a shell variable empty?");
    std::error_code error;
    const fs::file_type type = fs::status(name, error).type();
    if (type == fs::file_type::not_found)
      throw DataError(fmt::format("{}: {}", shown(name),
                                  fs::is_symlink(name, error) ? "a link that leads nowhere" : "there is no such picture or folder"));
    if (error) throw DataError(fmt::format("{}: it cannot be opened: {}", shortened(shown(name)), reason_of(error)));
    type == fs::file_type::directory ? add_folder(name, pictures) : static_cast<void>(pictures.files.emplace_back(name));
  }
  return pictures;
}

std::vector<std::string> make_vocabulary(std::span<const Item> items, std::span<const int64_t> indices) {
  std::set<std::string> labels;
  for (const int64_t i : indices) labels.insert(items[static_cast<size_t>(i)].label);
  if (labels.size() < 2) {
    throw DataError(fmt::format("the pictures to train on have {}, but training needs at least two",
                                labels.empty() ? "no class" : fmt::format("one class (\"{}\")", *labels.begin())),
                    "a picture's class is the name of its folder");
  }
  return {labels.begin(), labels.end()};
}

int64_t index_in(std::span<const std::string> vocabulary, std::string_view label) {
  const auto place = std::find(vocabulary.begin(), vocabulary.end(), label);
  return place == vocabulary.end() ? -1 : place - vocabulary.begin();
}

}  // namespace mirilla::data
