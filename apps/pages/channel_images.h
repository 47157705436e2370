// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Activations as small pictures and numbers, for pages.
namespace mirilla::pages {

/// (height, width, channels) of one picture.
struct Channels {
  int64_t height = 1, width = 1, channels = 0;
  std::vector<double> values;
};

/// Bytes as base64, with its padding.                                                                                        [RFC 4648]
std::string base64(std::span<const uint8_t> bytes);

/// Rounds to five significant digits, which is enough for a page.
double rounded(double value);

/// Squares of shrink x shrink cells as their mean; at the right and the bottom of the remaining cells.
Channels shrunk(const Channels& channels, int64_t shrink);

/// Values from lo to hi as 0 to 255, rounded; all 0 where lo = hi.
std::vector<uint8_t> as_bytes(std::span<const double> values, double lo, double hi);

/// PNGs, each stored once.
class ImageStore {
 public:
  size_t add(std::vector<uint8_t> png);
  std::vector<std::string> take() { return std::move(images_); }

 private:
  std::vector<std::string> images_;  // base64
  std::map<std::string, size_t> known_;
};

/// The description of an activation or a gradient in explore_document (apps/pages/explore.h). Values that are not finite count as 0 and are
/// counted in "not_finite".
nlohmann::ordered_json describe_channels(const Channels& channels, int64_t shrink, ImageStore& images);

}  // namespace mirilla::pages
