// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <set>

#include "data/archive/names.h"
#include "data/class_folders.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

using Folders = std::set<std::string>;

std::vector<std::string> all_in_quotes(const std::set<std::string>& names) {
  return data::all_in_quotes(std::vector<std::string>(names.begin(), names.end()));
}

/// The class folders of each label.
std::map<std::string, Folders> folders_by_label(std::span<const Item> items) {
  std::map<std::string, Folders> folders;
  for (const Item& item : items) folders[item.label].insert(item.path.substr(0, item.path.rfind('/')));
  return folders;
}

void note_alike(const std::map<std::string, Folders>& labels, std::vector<std::string>& notes) {
  std::map<std::string, std::set<std::string>> by_key;
  for (const auto& [label, folders] : labels) by_key[name_key(label)].insert(label);
  for (const auto& [key, alike] : by_key) {
    if (alike.size() < 2) continue;
    notes.push_back(
        fmt::format("{} classes differ only in spaces, capitals or the encoding of their letters: {}; if they are the same class, put "
                    "their pictures into one folder",
                    alike.size(), listed(all_in_quotes(alike))));
  }
}

void note_several_folders(const std::map<std::string, Folders>& labels, std::vector<std::string>& notes) {
  std::vector<std::string> several;
  for (const auto& [label, folders] : labels)
    if (folders.size() > 1) several.push_back(fmt::format("{} (in {})", in_quotes(label), listed(all_in_quotes(folders), 3)));
  if (several.empty()) return;
  notes.push_back(
      fmt::format("a picture's class is the name of its folder, and {} used by several folders, whose pictures are combined: {}",
                  several.size() == 1 ? "one name is" : fmt::format("{} names are", several.size()), listed(several, 3)));
}

/// How many folders lie between the part and the picture.
int64_t depth_of(std::string_view folder, std::span<const std::string> roots) {
  for (const std::string& root : roots)
    if (folder.size() > root.size() && folder.starts_with(root) && folder[root.size()] == '/') folder.remove_prefix(root.size() + 1);
  return std::count(folder.begin(), folder.end(), '/');
}

void note_depths(const std::map<std::string, Folders>& labels, std::span<const std::string> roots, std::vector<std::string>& notes) {
  std::map<int64_t, std::string> first;  // for each depth
  Folders all;
  for (const auto& [label, folders] : labels) {
    all.insert(folders.begin(), folders.end());
    for (const std::string& folder : folders) first.try_emplace(depth_of(folder, roots), folder);
  }
  for (const std::string& folder : all) {
    for (size_t slash = folder.find('/'); slash != std::string::npos; slash = folder.find('/', slash + 1)) {
      if (!all.contains(folder.substr(0, slash))) continue;
      notes.push_back(fmt::format("{} lies in {}, which also contains pictures: each folder is a class of its own", in_quotes(folder),
                                  in_quotes(folder.substr(0, slash))));
      return;
    }
  }
  if (first.size() < 2) return;
  std::vector<std::string> examples;
  for (const auto& [depth, folder] : first) examples.push_back(in_quotes(folder));
  notes.push_back(
      fmt::format("class folders lie at different depths, such as {}: a picture's class is the name of its folder", listed(examples)));
}

void note_part_names(const std::map<std::string, Folders>& labels, std::vector<std::string>& notes) {
  std::set<std::string> named;
  for (const auto& [label, folders] : labels)
    if (part_of_name(label)) named.insert(label);
  if (named.empty()) return;
  const bool one = named.size() == 1;
  notes.push_back(fmt::format("{} {}, since pictures lie directly in {} and not in class folders", listed(all_in_quotes(named)),
                              one ? "is used as a class" : "are used as classes", one ? "it" : "them"));
}

void note_escapes(const std::map<std::string, Folders>& labels, std::vector<std::string>& notes) {
  std::vector<std::string> escaped;
  for (const auto& [label, folders] : labels) {
    if (unshown(label) == label) continue;
    const std::string latin1 = as_latin1(label);
    escaped.push_back(latin1.empty() ? in_quotes(label) : fmt::format("{} ({} in Latin-1)", in_quotes(label), in_quotes(latin1)));
  }
  if (escaped.empty()) return;
  notes.push_back(fmt::format("{} not readable as UTF-8 text, and {} written with \\xHH for each such byte: {}",
                              escaped.size() == 1 ? "a class's name is" : fmt::format("the names of {} classes are", escaped.size()),
                              escaped.size() == 1 ? "is" : "are", listed(escaped)));
}

}  // namespace

std::vector<std::string> remarks_on_classes(std::span<const Item> items, std::span<const std::string> roots) {
  const std::map<std::string, Folders> labels = folders_by_label(items);
  std::vector<std::string> notes;
  note_alike(labels, notes);
  note_several_folders(labels, notes);
  note_depths(labels, roots, notes);
  note_part_names(labels, notes);
  note_escapes(labels, notes);
  return notes;
}

}  // namespace mirilla::data
