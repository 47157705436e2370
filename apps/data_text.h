// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

#include "data/dataset.h"

/// The commands' messages about their data.
namespace mirilla::apps {

/// Key in config.json: the folders of the part used for validation, if there was one.
inline constexpr const char* kValidPart = "valid_part";

/// "train/", "a/train/ and b/train/".
std::string folders_text(const std::vector<std::string>& folders);

/// "; test/ (600) is left for `mirilla eval`, pred/ (6) is not used"; "" if nothing was left. `training`: whether training left it.
std::string aside_text(const data::DataOrigin& origin, bool training);

/// Prints the remarks on the data, each on a line of stderr.
void say_notes(const data::Dataset& dataset);
/// The classes without a picture among `items`; "" if each has one.
std::string missing_text(const data::Dataset& dataset, std::span<const int64_t> items);

}  // namespace mirilla::apps
