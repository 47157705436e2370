// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/draw/film_strip.h"
#include "nn/explain/explain.h"
#include "nn/run/predict.h"

/// Many pictures explained on few sheets.
namespace mirilla::nn {

/// The outputs on a network's main path that have places, in the order of execution. Of a ResNet: "relu", "maxpool", then each block's,
/// "layer1.0", ... the last of a stage under the stage's own name, "layer1" ... "layer4". Throws UsageError for a network that does not say
/// its main path (Module::rest_after).
std::vector<std::string> film_layers(Module& model);

/// The softmax probability of the first class of the explanation's target.
double probability_of(const Explanation& explanation);
double probability_of(std::span<const double> logits, size_t index);

/// A film strip's frames: the picture as shown, then the map of each layer over it, under the layer's name. `title` goes above.
data::Film film_of(const Explanation& explanation, const data::Picture& shown, std::string title, const ExplainOptions& options);

/// The path of a sheet: sheet.png, sheet-2.png, sheet-3.png ... of `out` = sheet.png; the first is number 0.
std::filesystem::path sheet_path(const std::filesystem::path& out, size_t sheet);

struct SheetOptions {
  ExplainOptions explain;                                          // at most one target, for all
  bool film = false;                                               // one film strip per picture; else the picture and its maps side by side
  int64_t batch_size = 8;                                          // pictures explained at once
  int64_t per_sheet = 48;                                          // further pictures go to further sheets
  std::filesystem::path out;                                       // sheet.png, then sheet-2.png ...
  std::function<void(int64_t done, int64_t total)> progress = {};  // an exception ends the work; full sheets are already written
};

struct ExplainedFile {
  std::string file;
  int index = 0;  // the explained class
  double probability = 0;
  std::vector<std::string> notes;  // of maps that show nothing (CamMap::note)
  std::string sheet;
  int orientation = 1;  // as in Prediction
};

struct ExplainedFiles {
  std::vector<ExplainedFile> pictures;  // in the order of the paths
  std::vector<BadFile> bad;
  std::vector<std::string> sheets;
};

/// Explains files in batches and writes contact sheets; only the small pictures of one sheet are in memory. A file that does not decode
/// is listed in `bad` and skipped, however many there are. Throws NotFinite with the pictures' names and UsageError like explain, and also
/// for a film of a method that gives no map per layer; Error where a sheet cannot be written.
ExplainedFiles explain_files(Module& model, std::span<const std::filesystem::path> files, const ModelInfo& info,
                             const SheetOptions& options, Placement placement);

}  // namespace mirilla::nn
