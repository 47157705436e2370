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

/// What the subcommands share about reading pictures: photos that are turned, files that do not decode.
namespace mirilla::apps {

/// --exif-rotate and its opposite.
template <class T>
void add_exif_rotate(CLI::App& command, T& on) {
  command.add_flag("--exif-rotate,!--no-exif-rotate", on,
                   "turn photos upright as their EXIF says; as they are stored otherwise, as fastai sees them. A model remembers it");
}
/// One remark on stderr where pictures ask in their EXIF to be turned, and are not.
void say_turned(int64_t pictures, bool exif_rotate);

/// Adds exif_orientation and exif_rotated to a document about a picture whose EXIF asks for it to be turned.
void add_orientation(nlohmann::ordered_json& document, int orientation, const nn::ModelInfo& info);

/// --max-bad.
void add_max_bad(CLI::App& command, double& share);
/// Scans the data set and says what it found: pictures that do not decode, photos that are turned.
void scan(data::Dataset& dataset, ProgressLine& progress);
/// Adds to a command's document what scan() said: "skipped", [{file, error}], and "turned", a number; nothing where there is none.
void add_scan(nlohmann::ordered_json& document, const data::Dataset& dataset);

/// "skipped NAME: why (hint)" on stderr.
void say_skipped(std::string_view name, std::string_view reason, std::string_view hint);
/// The same as an entry of a document.
nlohmann::ordered_json skipped_json(std::string_view name, std::string_view reason);
/// Says them, and how a command ends that could not use all the pictures it was asked about: an error where any is bad.
std::optional<DataError> unused_error(std::span<const nn::BadFile> bad, size_t asked);

}  // namespace mirilla::apps
