// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "data/pictures/picture.h"
#include "nn/files/model_file.h"

/// The computation of a network for one picture, as a page that a browser shows without a connection.
namespace mirilla::pages {

struct ExploreOptions {
  std::optional<int> target = {};  // the class whose gradient is shown channel by channel; empty: the likeliest
  int64_t most_classes = 10;       // that can be chosen for Grad-CAM: the likeliest, and the target
  size_t budget_bytes = 7 << 20;   // of all channels before compression; larger maps are averaged down until they fit
  std::function<void(int64_t done, int64_t total)> progress = {};  // passes through the network
};

/// The content of the page, as one JSON document:
///
///   file, arch, size, side, picture     the resized picture as a PNG data URL, side pixels square
///   classes   [{index, name, probability, logit}]  the likeliest first
///   colors    {magma, viridis, inferno, jet}: 256 "rrggbb" in a row
///   modules   [{name, kind, shape, parameters, field}] in the order of Module::modules(); field: the receptive field's side in pixels
///   captures  [{module, call, calls, height, width, channels, shrink, activation, gradient?, weights, maps}] each call of each module:
///     activation, gradient  {image, lo, hi, mean: one number per channel; min, mean_all, max, std, zeros; histogram: {lo, hi, counts}}
///                           image: an entry of `images`, tiles of ceil(height / shrink) x ceil(width / shrink), row by row, `columns` of
///                           them per row; the value of a pixel p of channel c is lo[c] + p / 255 (hi[c] - lo[c])
///     weights   [class][channel]  Grad-CAM's: the mean of d logit / d activation
///     maps      [class] {lo, hi, bytes}  Grad-CAM's map, shrunk like the channels, 8 bits per place, base64
///   images    [PNG as base64], each once
///
/// Captures of modules without spatial positions have height = width = 1 and no maps. Statistics are of the values before shrinking. In
/// evaluation mode; the mode is restored. Waits for the device. Throws NotFinite where logits or gradients are not finite, UsageError for a
/// class that the model lacks.
std::string explore_document(nn::Module& model, const data::Picture& picture, const nn::ModelInfo& info, const std::string& file,
                             const ExploreOptions& options, nn::Placement placement);

/// The document in its page: one HTML file, scripts and styles inside. It loads nothing from a network, and forbids the browser to (a
/// content security policy); names in the document cannot become markup.
std::string explore_page(const std::string& document);

/// A JSON document for use inside a script element: each '<' escaped, so that nothing in it ends the element.
std::string json_for_html(const std::string& document);

}  // namespace mirilla::pages
