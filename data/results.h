// SPDX-License-Identifier: MIT
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive/archive.h"

namespace mirilla::data {

/// The pictures in a source that Mirilla itself drew there: plots beside the other files of a run, which are pictures of no class. A run's
/// results may lie in the data by --out of an earlier version, or because someone put a copy there.
///
///   loss.png                        beside a config.json that holds "arch" and "vocab"                [train]
///   lr_find.png                     beside an lr_find.csv that begins as ours                          [lr-find]
///   confusion.png, top_losses.png   beside a confusion.csv that begins as ours                         [interpret]
///
/// Only these files, never the folder: a class may have been given a run's results too, and its own pictures stay.
class Results {
 public:
  /// Reads the few text files that tell; one that cannot be read tells nothing.
  explicit Results(const Source& source);

  /// Whether this entry is such a picture.
  bool holds(std::string_view path) const { return pictures_.contains(path); }
  /// Whether such a picture lies directly in this folder.
  bool in_folder(std::string_view folder) const { return folders_.contains(folder); }
  /// A sentence about them, none where there are none.
  std::vector<std::string> notes() const;

 private:
  std::set<std::string, std::less<>> pictures_, folders_;
};

}  // namespace mirilla::data
