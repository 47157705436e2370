// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive.h"

namespace mirilla::data {

/// One labelled picture: its path in the source and the name of the folder it lies in (fastai's parent_label).
struct Item {
  std::string path;
  std::string label;
  bool operator==(const Item&) const = default;
};

struct ItemOptions {
  /// Only pictures below a folder of this name, at any depth, that is followed by a class folder: "train" takes
  /// `IntelImageClassification/train/sea/1.jpg`, but not `vehicles/train/1.jpg`, where it is the class. "" takes everything.
  std::string part = "train";
  /// Whether a source without that part is an error; otherwise everything is taken.
  bool part_required = false;
  /// The first N per class in sorted order; 0: all.
  int64_t limit_per_class = 0;
};

struct ItemList {
  std::vector<Item> items;       // sorted by path, bytewise
  std::string part;              // the part that was taken; "" where everything was
  int64_t skipped_pictures = 0;  // pictures of a kind that decode() does not know: .webp, .tiff, ...
};

/// The pictures of a source, as fastai's get_image_files finds them, sorted (fastai's order is the file system's). Paths with a folder
/// named `masks` are never pictures. Throws DataError where there is none, the part is required and missing, or a picture lies in no
/// folder.
ItemList find_items(const Source& source, const ItemOptions& options = {});

/// Whether the source has pictures in such a part.
bool has_part(const Source& source, std::string_view part);

/// The mask of a picture, where the source has one: `masks/<path of the picture>`, its extension replaced or followed by `.png`; `masks`
/// may stand before any of the path's folders.
std::optional<std::string> mask_path(const Source& source, std::string_view picture_path);

/// By extension, case ignored: what fastai takes for an image, and of those what decode() knows (jpg, jpeg, jpe, jfif, png, bmp, gif,
/// tga, psd, ppm, pgm, pnm).
bool is_image_name(std::string_view path);
bool is_decodable_name(std::string_view path);

/// The files named, and the pictures below the folders named, each folder's sorted by path. Throws DataError for what is not there, and for
/// a folder without a picture.
std::vector<std::filesystem::path> picture_files(std::span<const std::string> names);

/// The sorted distinct labels of `indices`. Throws DataError for fewer than two.
std::vector<std::string> make_vocabulary(std::span<const Item> items, std::span<const int64_t> indices);

/// The label's place in a vocabulary (sorted or not), -1 where it is not in it.
int64_t index_in(std::span<const std::string> vocabulary, std::string_view label);

}  // namespace mirilla::data
