// SPDX-License-Identifier: MIT
#include "data/items.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "kernels/error.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

// What Python's mimetypes calls image/*, with the common additions of a system's mime.types.
constexpr std::array kDecodable = {"jpg"sv, "jpeg"sv, "jpe"sv, "jfif"sv, "png"sv, "bmp"sv,
                                   "gif"sv, "tga"sv,  "psd"sv, "ppm"sv,  "pgm"sv, "pnm"sv};
constexpr std::array kOtherImages = {"webp"sv, "tif"sv, "tiff"sv, "avif"sv, "heic"sv, "heif"sv, "ico"sv, "jp2"sv, "jxl"sv, "pbm"sv,
                                     "pcx"sv,  "svg"sv, "xbm"sv,  "xpm"sv,  "xwd"sv,  "ras"sv,  "rgb"sv, "ief"sv, "dng"sv, "nef"sv};

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

size_t extension_at(std::string_view path) {
  const size_t dot = path.rfind('.');
  const size_t slash = path.rfind('/');
  return dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash) ? path.size() : dot;
}

std::string lower_extension(std::string_view path) {
  std::string extension(path.substr(std::min(extension_at(path) + 1, path.size())));
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

bool is_mask(const std::vector<std::string_view>& parts) { return std::find(parts.begin(), parts.end() - 1, "masks"sv) != parts.end() - 1; }

/// A folder `part` with a class folder below it.
bool in_part(const std::vector<std::string_view>& parts, std::string_view part) {
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i] == part) return true;
  }
  return false;
}

void limit(std::vector<Item>& items, int64_t per_class) {
  std::map<std::string, int64_t, std::less<>> taken;
  std::erase_if(items, [&](const Item& item) { return ++taken[item.label] > per_class; });
}

}  // namespace

bool is_decodable_name(std::string_view path) {
  return std::find(kDecodable.begin(), kDecodable.end(), lower_extension(path)) != kDecodable.end();
}

bool is_image_name(std::string_view path) {
  return is_decodable_name(path) || std::find(kOtherImages.begin(), kOtherImages.end(), lower_extension(path)) != kOtherImages.end();
}

bool has_part(const Source& source, std::string_view part) {
  return std::any_of(source.entries().begin(), source.entries().end(), [&](const Entry& entry) {
    const auto parts = components(entry.path);
    return is_decodable_name(entry.path) && !is_mask(parts) && in_part(parts, part);
  });
}

ItemList find_items(const Source& source, const ItemOptions& options) {
  ItemList list;
  if (!options.part.empty() && has_part(source, options.part)) list.part = options.part;
  if (options.part_required && !options.part.empty() && list.part.empty()) {
    throw DataError(fmt::format("{}: it has no pictures in {}/<class>/", source.name(), options.part));
  }
  for (const Entry& entry : source.entries()) {
    const auto parts = components(entry.path);
    if (!is_image_name(entry.path) || is_mask(parts) || (!list.part.empty() && !in_part(parts, list.part))) continue;
    if (!is_decodable_name(entry.path)) {
      ++list.skipped_pictures;
      continue;
    }
    if (parts.size() < 2) {
      throw DataError(fmt::format("{}: {} lies in no folder, and the folder's name is the label", source.name(), entry.path),
                      "put each picture into a folder named as its class");
    }
    list.items.push_back({entry.path, std::string(parts[parts.size() - 2])});
  }
  if (list.items.empty()) {
    const std::string others = list.skipped_pictures ? fmt::format(" ({} of kinds that are not decoded)", list.skipped_pictures) : "";
    throw DataError(fmt::format("{}: no picture in it{}", source.name(), others),
                    "pictures are expected in <class>/<picture>: jpg, png, bmp, gif, tga, psd, ppm, pgm");
  }
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

std::vector<std::filesystem::path> picture_files(std::span<const std::string> names) {
  namespace fs = std::filesystem;
  std::vector<fs::path> found;
  for (const std::string& name : names) {
    if (!fs::exists(name)) throw DataError(fmt::format("{}: there is no such picture or folder", name));
    if (!fs::is_directory(name)) {
      found.emplace_back(name);
      continue;
    }
    std::vector<fs::path> below;
    for (const auto& entry : fs::recursive_directory_iterator(name, fs::directory_options::skip_permission_denied))
      if (entry.is_regular_file() && is_decodable_name(entry.path().string())) below.push_back(entry.path());
    if (below.empty())
      throw DataError(fmt::format("{}: no picture lies in this folder or below", name), "jpg, png, bmp and gif are looked for");
    std::sort(below.begin(), below.end());
    found.insert(found.end(), below.begin(), below.end());
  }
  return found;
}

std::vector<std::string> make_vocabulary(std::span<const Item> items, std::span<const int64_t> indices) {
  std::set<std::string> labels;
  for (const int64_t i : indices) labels.insert(items[static_cast<size_t>(i)].label);
  if (labels.size() < 2) {
    throw DataError(fmt::format("the pictures to train on have {}, and telling classes apart takes two",
                                labels.empty() ? "no class" : fmt::format("one class (\"{}\")", *labels.begin())),
                    "the folder that a picture lies in is its class");
  }
  return {labels.begin(), labels.end()};
}

int64_t index_in(std::span<const std::string> vocabulary, std::string_view label) {
  const auto place = std::find(vocabulary.begin(), vocabulary.end(), label);
  return place == vocabulary.end() ? -1 : place - vocabulary.begin();
}

}  // namespace mirilla::data
