// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive/archive.h"
#include "data/items.h"
#include "data/results.h"

namespace mirilla::data {

struct ClassFolderOptions {
  std::function<bool(std::string_view folder)> in_scope;  // which folders of the source are checked; "" is its root
  bool refuse_empty_folders = true;
  const Results* results = nullptr;  // plots of earlier runs, which make no class; null: none
};

/// Remarks for the user on the folders that `items` come from: pictures of kinds that are not decoded, files that are pictures
/// by their content and not by their name, folders without a picture, archives that are not opened, links that cannot be followed. One
/// sentence each.
///
/// Throws DataError where a class would be lost: its folder has pictures but none that is used or, if empty folders are refused, no file at
/// all.
std::vector<std::string> check_class_folders(const Source& source, std::span<const Item> items, const ClassFolderOptions& options);

/// Remarks on the classes' names: those that differ only in blanks, capitals or Unicode's normal form, those found in several folders or at
/// different depths below `roots` (the part's folders; none: the source), those named like a part, those with bytes that are not UTF-8.
std::vector<std::string> remarks_on_classes(std::span<const Item> items, std::span<const std::string> roots);

}  // namespace mirilla::data
