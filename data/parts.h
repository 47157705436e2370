// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive/archive.h"

namespace mirilla::data {

/// The parts into which a data set is divided, each a folder.
enum class Part { train, valid, test, pred };

/// The part named by a folder's name, ignoring case: train|training, val|valid|validation, test|testing, pred|prediction|predictions; also
/// after `seg_`, and before `_set`, `set`, `_data` or `_images` (seg_train, Test, training_set). Empty for any other name.
std::optional<Part> part_of_name(std::string_view folder);

/// "train", "val", "test", "pred".
std::string_view word_of(Part part);

/// A folder that is a part.
struct PartFolder {
  Part part = Part::train;
  std::string path;        // in the source, without a '/' at the end: "intel/seg_train/seg_train"
  int64_t pictures = 0;    // pictures in its class folders
  int64_t unlabelled = 0;  // pictures directly in it, in no class folder
  bool has_classes() const { return pictures > 0; }
  /// Whether `file` lies below it.
  bool holds(std::string_view file) const;
};

/// The parts of a source.
///
/// A name alone does not make a part, since "train" may also be a class of vehicles. A folder with such a name is a part if class folders
/// (folders with pictures) are in it. If only deeper folders have them, and these are parts, it only wraps them
/// (seg_train/seg_train/<class>, test/photos/train/<class>). One with pictures directly in it and no class folder is a class, like the
/// folders beside it; but if the source has parts with class folders, it is a part without labels (test/1.jpg beside train/sea/2.jpg), and
/// so is a `pred` beside classes.
struct Layout {
  std::vector<PartFolder> folders;  // sorted by path
  int64_t outside = 0;              // pictures in none of them

  /// The folders of this part that have class folders.
  std::vector<PartFolder> labelled(Part part) const;
  bool has(Part part) const { return !labelled(part).empty(); }
  /// The folder that contains a file, or nullptr.
  const PartFolder* folder_of(std::string_view file) const;
};

/// Looks at the folders of all pictures (is_image_name) that are no masks and no plots of a run (results.h).
Layout find_layout(const Source& source);

}  // namespace mirilla::data
