// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>

#include "apps/command.h"
#include "data/dataset.h"
#include "kernels/core/error.h"
#include "nn/run/predict.h"

/// Shared by the subcommands that read pictures: EXIF orientation, files that do not decode.
namespace mirilla::apps {

/// --exif-rotate and its opposite.
template <class T>
void add_exif_rotate(CLI::App& command, T& on) {
  command.add_flag("--exif-rotate,!--no-exif-rotate", on,
                   "turn photos upright as their EXIF says; default: as stored, like fastai. A model remembers it");
}
/// One remark on stderr if pictures have an EXIF orientation that is not applied.
void say_turned(int64_t pictures, bool exif_rotate);

/// Adds exif_orientation and exif_rotated to a document about a picture with an EXIF orientation.
void add_orientation(nlohmann::ordered_json& document, int orientation, const nn::ModelInfo& info);

/// --max-bad.
void add_max_bad(CLI::App& command, double& share);
/// Scans the data set and reports pictures that do not decode and photos with an EXIF orientation.
void scan(data::Dataset& dataset, ProgressLine& progress);
/// Adds the results of scan() to a command's document: "skipped", [{file, error}], and "turned", a number; each only if there is any.
void add_scan(nlohmann::ordered_json& document, const data::Dataset& dataset);

/// "skipped NAME: why (hint)" on stderr.
void say_skipped(std::string_view name, std::string_view reason, std::string_view hint);
/// The same as an entry of a document.
nlohmann::ordered_json skipped_json(std::string_view name, std::string_view reason);
/// Prints them, and returns the error with which a command ends if any of its pictures is bad.
std::optional<DataError> unused_error(std::span<const nn::BadFile> bad, size_t asked);

}  // namespace mirilla::apps
