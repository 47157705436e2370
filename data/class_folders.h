// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive.h"
#include "data/items.h"
#include "data/results.h"

namespace mirilla::data {

struct ClassFolderOptions {
  std::function<bool(std::string_view folder)> in_scope;  // what of the source is looked at; "" is its root
  bool refuse_empty_folders = true;
  const Results* results = nullptr;  // plots of earlier runs, which make no class; null: none
};

/// What a person would want to know of the folders that `items` come from: pictures of kinds that are not decoded, files that are pictures
/// by their content and not by their name, folders without a picture, archives that are not looked into, links that cannot be followed. A
/// sentence each.
///
/// Throws DataError where this takes a class away: its folder has pictures and none that is taken, or, if refused, no file at all.
std::vector<std::string> check_class_folders(const Source& source, std::span<const Item> items, const ClassFolderOptions& options);

/// Remarks on the classes' names: those that differ in blanks, capitals or the normal form only, those found in several folders or at
/// different depths below `roots` (the part's folders; none: the source), those named like a part, those with bytes that are no UTF-8.
std::vector<std::string> remarks_on_classes(std::span<const Item> items, std::span<const std::string> roots);

}  // namespace mirilla::data
