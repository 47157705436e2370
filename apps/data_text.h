// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

#include "data/dataset.h"

/// What the commands say of the data they were given.
namespace mirilla::apps {

/// In config.json: the folders of the part that validated, where one did.
inline constexpr const char* kValidPart = "valid_part";

/// "train/", "a/train/ and b/train/".
std::string folders_text(const std::vector<std::string>& folders);

/// "; test/ (600) is left for `mirilla eval`, pred/ (6) is not used"; "" where nothing was left. `training`: whether a training left it.
std::string aside_text(const data::DataOrigin& origin, bool training);

/// The remarks on what was found, each on a line of stderr.
void say_notes(const data::Dataset& dataset);
/// The classes without a picture among `items`; "" where each has one.
std::string missing_text(const data::Dataset& dataset, std::span<const int64_t> items);

}  // namespace mirilla::apps
