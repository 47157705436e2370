// SPDX-License-Identifier: MIT
#include "nn/explain/explain_files.h"

#include <algorithm>
#include <cmath>

#include "data/archive/names.h"
#include "data/pictures/decode.h"
#include "data/pictures/resize.h"
#include "data/write/png_write.h"
#include "nn/modules/layers.h"

namespace mirilla::nn {

namespace {

constexpr int kTile = 160, kFrame = 144, kSheetWidth = 1300;
constexpr double kCentre = 0.5;

// Collects the pictures of the sheets, and writes each sheet when it is full.
class Sheets {
 public:
  Sheets(const SheetOptions& options, const ModelInfo& info, ExplainedFiles& result) : options_(options), info_(info), result_(result) {}

  void add(const std::filesystem::path& file, const data::DecodedFile& decoded, const Explanation& explanation) {
    const data::Picture& picture = decoded.picture;
    const data::Picture tile = data::resize_crop(picture, options_.film ? kFrame : kTile, kCentre, kCentre);
    ExplainedFile one{.file = data::shown(file.string()),
                      .index = explanation.target.terms[0].index,
                      .probability = probability_of(explanation),
                      .notes = {},
                      .sheet = sheet_path(options_.out, result_.sheets.size()).string(),
                      .orientation = decoded.orientation};
    for (const CamMap& map : explanation.maps)
      if (!map.note.empty()) one.notes.push_back(map.note);
    std::string title = fmt::format("{}: {} {:.0f} %", data::shown(file.filename().string()),
                                    info_.vocabulary[static_cast<size_t>(one.index)], 100 * one.probability);
    if (options_.film) {
      films_.push_back(film_of(explanation, tile, std::move(title), options_.explain));
    } else {
      films_.push_back({std::move(title), {{tile, "picture"}}});
      for (data::Panel& panel : panels_of(explanation, tile, options_.explain)) films_.back().frames.push_back(std::move(panel));
    }
    result_.pictures.push_back(std::move(one));
    if (static_cast<int64_t>(films_.size()) == options_.per_sheet) write();
  }

  void write() {
    if (films_.empty()) return;
    const std::string path = sheet_path(options_.out, result_.sheets.size()).string();
    data::write_png(path, options_.film ? data::film_strip(films_, kFrame) : contact_sheet());
    result_.sheets.push_back(path);
    films_.clear();
  }

 private:
  data::Picture contact_sheet() const {
    std::vector<data::Panel> panels;
    int widest = kTile;
    for (const data::Film& film : films_) {
      data::Picture row = film.frames[0].picture;
      for (size_t i = 1; i < film.frames.size(); ++i) row = data::beside(row, film.frames[i].picture);
      widest = std::max(widest, row.width);
      panels.push_back({std::move(row), film.title});
    }
    std::string title = options_.explain.method;
    for (size_t i = 1; i < films_[0].frames.size(); ++i) title += (i == 1 ? ": " : ", ") + films_[0].frames[i].title;
    return data::figure(panels, {.panel_px = widest, .columns = std::max(1, kSheetWidth / widest), .title = title});
  }

  const SheetOptions& options_;
  const ModelInfo& info_;
  ExplainedFiles& result_;
  std::vector<data::Film> films_;
};

void check(const SheetOptions& options) {
  if (options.batch_size < 1 || options.per_sheet < 1) throw UsageError("expected a batch and a sheet of at least one picture");
  if (options.explain.targets.size() > 1)
    throw UsageError(fmt::format("expected one class for all pictures, got {}", options.explain.targets.size()));
  if (options.film && !is_cam(options.explain.method))
    throw UsageError(fmt::format("a film strip needs a method with a map for each layer, but '{}' explains pixels", options.explain.method),
                     "use gradcam or another class activation map");
}

std::vector<Explanation> explained(Module& model, std::span<const data::Picture> pictures, std::span<const std::filesystem::path> names,
                                   const ModelInfo& info, const SheetOptions& options, Placement placement) {
  try {
    return explain(model, prepare(pictures, info, placement), options.explain);
  } catch (const NotFinite& error) {
    std::vector<std::string> bad;
    for (const int64_t row : error.pictures) bad.push_back(names[static_cast<size_t>(row)].string());
    throw error.of(std::move(bad));
  }
}

}  // namespace

namespace {

// From here on an output has no places.
bool ends_the_places(const Module& module) {
  return dynamic_cast<const AdaptiveAvgPool2d*>(&module) || dynamic_cast<const AdaptiveConcatPool2d*>(&module) ||
         dynamic_cast<const Flatten*>(&module) || dynamic_cast<const Linear*>(&module);
}

// The children that the network can go on from, each before it its own but the last, whose output is the child's. False: the places end.
bool collect_film(Module& module, const std::string& prefix, std::vector<std::string>& layers) {
  for (const Module::Child& child : module.children()) {
    if (!module.rest_after(child.name)) continue;
    if (ends_the_places(*child.module)) return false;
    const std::string name = full_name(prefix, child.name);
    std::vector<std::string> inside;
    const bool goes_on = collect_film(*child.module, name, inside);
    if (goes_on && !inside.empty()) inside.back() = name;
    layers.insert(layers.end(), inside.begin(), inside.end());
    if (!goes_on) return false;
    if (inside.empty()) layers.push_back(name);
  }
  return true;
}

}  // namespace

std::vector<std::string> film_layers(Module& model) {
  std::vector<std::string> layers;
  collect_film(model, "", layers);
  if (layers.empty())
    throw UsageError(fmt::format("a film strip needs the main path of the network, but a {} does not define it", model.kind()),
                     "name layers instead, or override rest_after");
  return layers;
}

data::Film film_of(const Explanation& explanation, const data::Picture& shown, std::string title, const ExplainOptions& options) {
  data::Film film{std::move(title), {{shown, "picture"}}};
  for (const CamMap& map : explanation.maps) film.frames.push_back({overlay(shown, map, options.style, *options.colors), map.layer});
  return film;
}

std::filesystem::path sheet_path(const std::filesystem::path& out, size_t sheet) {
  if (sheet == 0) return out;
  return out.parent_path() / fmt::format("{}-{}{}", out.stem().string(), sheet + 1, out.extension().string());
}

double probability_of(std::span<const double> logits, size_t index) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const double logit : logits) total += std::exp(logit - largest);
  return std::exp(logits[index] - largest) / total;
}

double probability_of(const Explanation& explanation) {
  return probability_of(explanation.logits, static_cast<size_t>(explanation.target.terms[0].index));
}

ExplainedFiles explain_files(Module& model, std::span<const std::filesystem::path> files, const ModelInfo& info,
                             const SheetOptions& options, Placement placement) {
  check(options);
  ExplainedFiles result;
  Sheets sheets(options, info, result);
  std::vector<data::Picture> pictures;  // small: prepare() does not resize them
  std::vector<std::filesystem::path> names;
  std::vector<int> orientations;
  const auto flush = [&] {
    if (pictures.empty()) return;
    const std::vector<Explanation> explanations = explained(model, pictures, names, info, options, placement);
    for (size_t i = 0; i < pictures.size(); ++i) sheets.add(names[i], {std::move(pictures[i]), orientations[i]}, explanations[i]);
    pictures.clear();
    names.clear();
    orientations.clear();
  };
  for (size_t place = 0; place < files.size(); ++place) {
    try {
      const data::DecodedFile decoded = data::load_file(files[place], {.exif_rotate = info.exif_rotate});
      pictures.push_back(resized_picture(decoded.picture, info));
      orientations.push_back(decoded.orientation);
      names.push_back(files[place]);
    } catch (const DataError& error) {
      result.bad.push_back({.file = data::shown(files[place].string()), .reason = error.message(), .hint = error.hint(), .place = place});
    }
    if (static_cast<int64_t>(pictures.size()) == options.batch_size) flush();
    if (options.progress) options.progress(static_cast<int64_t>(place + 1), static_cast<int64_t>(files.size()));
  }
  flush();
  sheets.write();
  return result;
}

}  // namespace mirilla::nn
