// SPDX-License-Identifier: MIT
#include "data/parts.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "data/items.h"
#include "data/results.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

/// A folder that contains pictures.
struct Node {
  std::map<std::string, Node, std::less<>> folders;
  int64_t direct = 0;  // pictures in it
  int64_t below = 0;   // pictures in its folders, at any depth
};

Node tree_of(const Source& source) {
  const Results results(source);
  Node root;
  for (const Entry& entry : source.entries()) {
    if (!is_image_name(entry.path) || is_mask_path(entry.path) || results.holds(entry.path)) continue;
    Node* node = &root;
    std::string_view rest = entry.path;
    for (size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
      ++node->below;
      const auto place = node->folders.find(rest.substr(0, slash));
      node = place != node->folders.end() ? &place->second : &node->folders[std::string(rest.substr(0, slash))];
      rest.remove_prefix(slash + 1);
    }
    ++node->direct;
  }
  return root;
}

bool has_class_folders(const Node& node) {
  return std::any_of(node.folders.begin(), node.folders.end(), [](const auto& one) { return one.second.direct > 0; });
}

/// The names of the class folders below.
void add_classes(const Node& node, std::set<std::string, std::less<>>& classes) {
  for (const auto& [name, folder] : node.folders) {
    if (folder.direct > 0) classes.insert(name);
    add_classes(folder, classes);
  }
}

/// Finds folders with names of parts: parts with class folders, and others.
class Finder {
 public:
  /// Finds the parts below a folder; returns true if there is one with class folders.
  bool look_below(const Node& node, const std::string& path) {
    bool found = false;
    for (const auto& [name, folder] : node.folders) {
      const std::string below = path.empty() ? name : path + "/" + name;
      const auto part = part_of_name(name);
      const bool is_part = part ? look_at(*part, folder, below) : look_below(folder, below);
      found = found || is_part;
    }
    return found;
  }

  const std::vector<PartFolder>& labelled() const { return labelled_; }

  /// Whether a folder without class folders is a part without labels and not a class.
  bool is_unlabelled_part(const PartFolder& flat) const {
    const auto has = [&](Part part) {
      return std::any_of(labelled_.begin(), labelled_.end(), [&](const PartFolder& folder) { return folder.part == part; });
    };
    const std::string_view name = std::string_view(flat.path).substr(flat.path.rfind('/') + 1);
    if (classes_.contains(name)) return false;
    if (flat.part == Part::train) return has(Part::train);
    return flat.part == Part::pred || has(Part::train) || has(Part::valid) || has(Part::test);
  }
  const std::vector<PartFolder>& flat() const { return flat_; }

 private:
  bool look_at(Part part, const Node& node, const std::string& path) {
    if (only_wraps_itself(part, node)) {
      const auto& [name, inner] = *node.folders.begin();
      return look_at(part, inner, path + "/" + name);
    }
    if (node.folders.empty()) {
      flat_.push_back({.part = part, .path = path, .unlabelled = node.direct});
      return false;
    }
    if (!has_class_folders(node)) {
      const size_t before = flat_.size();
      if (look_below(node, path)) return true;
      flat_.resize(before);
    }
    labelled_.push_back({.part = part, .path = path, .pictures = node.below, .unlabelled = node.direct});
    add_classes(node, classes_);
    return true;
  }

  /// seg_pred/seg_pred/1.jpg
  static bool only_wraps_itself(Part part, const Node& node) {
    return node.direct == 0 && node.folders.size() == 1 && part_of_name(node.folders.begin()->first) == part;
  }

  std::vector<PartFolder> labelled_, flat_;
  std::set<std::string, std::less<>> classes_;  // in the parts with labels
};

}  // namespace

std::optional<Part> part_of_name(std::string_view folder) {
  std::string small(folder);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c == '-' || c == ' ' ? '_' : c;
  std::string_view word = small;
  if (word.starts_with("seg_")) word.remove_prefix(4);
  for (const std::string_view ending : {"_set"sv, "set"sv, "_data"sv, "_images"sv}) {
    if (!word.ends_with(ending)) continue;
    word.remove_suffix(ending.size());
    break;
  }
  static constexpr std::array<std::pair<std::string_view, Part>, 10> kWords = {{{"train", Part::train},
                                                                                {"training", Part::train},
                                                                                {"val", Part::valid},
                                                                                {"valid", Part::valid},
                                                                                {"validation", Part::valid},
                                                                                {"test", Part::test},
                                                                                {"testing", Part::test},
                                                                                {"pred", Part::pred},
                                                                                {"prediction", Part::pred},
                                                                                {"predictions", Part::pred}}};
  for (const auto& [name, part] : kWords)
    if (word == name) return part;
  return std::nullopt;
}

std::string_view word_of(Part part) {
  static constexpr std::array kNames = {"train"sv, "val"sv, "test"sv, "pred"sv};
  return kNames[static_cast<size_t>(part)];
}

bool PartFolder::holds(std::string_view file) const {
  return file.size() > path.size() && file.starts_with(path) && file[path.size()] == '/';
}

std::vector<PartFolder> Layout::labelled(Part part) const {
  std::vector<PartFolder> some;
  for (const PartFolder& folder : folders)
    if (folder.part == part && folder.has_classes()) some.push_back(folder);
  return some;
}

const PartFolder* Layout::folder_of(std::string_view file) const {
  const auto found = std::find_if(folders.begin(), folders.end(), [&](const PartFolder& folder) { return folder.holds(file); });
  return found == folders.end() ? nullptr : &*found;
}

Layout find_layout(const Source& source) {
  const Node root = tree_of(source);
  Finder finder;
  finder.look_below(root, "");
  Layout layout{.folders = finder.labelled(), .outside = root.below + root.direct};
  for (const PartFolder& flat : finder.flat())
    if (finder.is_unlabelled_part(flat)) layout.folders.push_back(flat);
  std::sort(layout.folders.begin(), layout.folders.end(), [](const PartFolder& a, const PartFolder& b) { return a.path < b.path; });
  for (const PartFolder& folder : layout.folders) layout.outside -= folder.pictures + folder.unlabelled;
  return layout;
}

}  // namespace mirilla::data
