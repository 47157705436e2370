// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive/archive.h"
#include "data/parts.h"

namespace mirilla::data {

/// One labelled picture: its path in the source and the name of the folder it lies in (fastai's parent_label).
struct Item {
  std::string path;
  std::string label;
  bool operator==(const Item&) const = default;
};

struct ItemOptions {
  /// The part whose pictures are wanted; empty: all pictures.
  std::optional<Part> part = Part::train;
  /// The first N per class in sorted order; 0: all.
  int64_t limit_per_class = 0;
  /// Whether a class folder without any file is an error; a remark otherwise.
  bool refuse_empty_folders = true;
};

struct ItemList {
  std::vector<Item> items;           // sorted by path, bytewise
  std::vector<std::string> folders;  // the part's folders; empty where it has none and everything outside of other parts is used
  Layout layout;                     // of the whole source
  std::vector<std::string> notes;    // remarks for the user, one sentence each
};

/// The pictures of a source, as fastai's get_image_files finds them, sorted (fastai's order is the file system's). Paths with a folder
/// named `masks` are never pictures.
///
///   train  the folders that are this part (find_layout); if there are none, all pictures outside of other parts
///   valid  the folders that are this part
///   test   the folders that are this part; if there are none, all pictures except those to predict
///
/// Throws DataError where there is no picture; where a picture is in no folder, or only in folders named like parts; where the part is
/// missing (valid), or two folders beside each other could be it; where a class folder has pictures but none of a kind that is decoded, or
/// no file at all. Everything left out is in `notes`.
ItemList find_items(const Source& source, const ItemOptions& options = {});

/// The mask of a picture, where the source has one: `masks/<path of the picture>`, its extension replaced or followed by `.png`; `masks`
/// may stand before any of the path's folders.
std::optional<std::string> mask_path(const Source& source, std::string_view picture_path);

/// By extension, case ignored: names that fastai treats as images and that decode() knows (jpg, jpeg, jpe, jfif, png, webp, bmp, gif,
/// tga, psd, ppm, pgm, pnm).
bool is_image_name(std::string_view path);
bool is_decodable_name(std::string_view path);

/// Whether a folder of the path is named `masks`.
bool is_mask_path(std::string_view path);

/// The extension without its dot, in small letters; "" for none.
std::string lower_extension(std::string_view path);

struct PictureFiles {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> notes;  // what was left out of the folders
};

/// The named files, and the pictures below the named folders, sorted by path within each folder. Folders are read as by open_source(), but
/// results of `mirilla gradcam` are left out. Throws UsageError for an empty name, DataError for a wrong path or a folder without a
/// picture.
PictureFiles picture_files(std::span<const std::string> names);

/// The sorted distinct labels of `indices`. Throws DataError for fewer than two.
std::vector<std::string> make_vocabulary(std::span<const Item> items, std::span<const int64_t> indices);

/// The label's place in a vocabulary (sorted or not), -1 where it is not in it.
int64_t index_in(std::span<const std::string> vocabulary, std::string_view label);

}  // namespace mirilla::data
