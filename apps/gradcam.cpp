// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iostream>

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "data/archive/names.h"
#include "data/draw/figure.h"
#include "data/draw/film_strip.h"
#include "data/items.h"
#include "data/pictures/decode.h"
#include "data/write/npy.h"
#include "data/write/png_write.h"
#include "nn/explain/explain_files.h"
#include "nn/run/finite.h"
#include "nn/run/predict.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

constexpr Bounds<int> kSquarePixels{1, 100'000};

struct GradCamOptions {
  CommonOptions common;
  ModelOptions model;
  std::vector<std::string> pictures;
  nn::ExplainOptions explain;
  std::vector<std::string> layers;
  std::string film;
  std::vector<std::string> classes;
  std::string minus;
  std::string fuse = "none";
  std::string style = "course";
  std::string colormap = "magma";
  int64_t per_sheet = 48;
  std::string out;
  std::string npy;
};

// One per --class, each minus the class of --minus; a single one that means the likeliest class if there is no --class.
std::vector<nn::Target> targets_of(const GradCamOptions& options, const std::vector<std::string>& vocabulary) {
  const std::optional<int> minus = class_index(options.minus, vocabulary, "--minus");
  std::vector<nn::Target> targets;
  for (const std::string& name : options.classes) {
    const std::optional<int> index = class_index(name, vocabulary);
    if (!index) continue;
    targets.push_back({{{*index}}});
    if (minus) targets.back().terms.push_back({*minus, -1});
  }
  if (targets.empty() && minus)
    throw UsageError("--minus needs a --class to compare with",
                     "--class sea --minus glacier shows the evidence for sea rather than glacier");
  if (targets.empty()) targets.emplace_back();
  return targets;
}

// The picture once per target: one forward and one backward pass explain all of them.
Tensor repeated(const Tensor& picture, size_t times) {
  Tensor batch = empty({static_cast<int64_t>(times), picture.size(1), picture.size(2), picture.size(3)}, picture.dtype(), picture.device());
  for (int64_t i = 0; i < batch.size(0); ++i) batch.slice(i, i + 1).copy_from(picture);
  return batch;
}

// photos/20058.jpg -> 20058-gradcam.png, in the current folder
std::string out_of(const GradCamOptions& options) {
  if (!options.out.empty()) return options.out;
  return options.pictures.size() == 1 ? fs::path(options.pictures[0]).stem().string() + "-gradcam.png" : "gradcam.png";
}

// One file for one map; with several, the class's name (of several) and the layer's (of several) go before the extension.
std::string npy_path(const std::string& wanted, const std::string& name, const std::string& layer) {
  const fs::path path(wanted);
  return (path.parent_path() / (path.stem().string() + name + layer + path.extension().string())).string();
}

struct Result {
  const GradCamOptions& options;
  const nn::ModelInfo& info;
  std::vector<nn::Explanation> explanations;
  std::string out;
  int orientation = 1;
};

const std::string& class_of(const nn::Explanation& explanation, const nn::ModelInfo& info) {
  return info.vocabulary[static_cast<size_t>(explanation.target.terms[0].index)];
}

// "sea: 93.1 %", or "sea rather than glacier: 93.1 %"
std::string caption_of(const nn::Explanation& explanation, const Result& result) {
  return fmt::format("{}{}: {:.1f} %", class_of(explanation, result.info),
                     result.options.minus.empty() ? "" : " rather than " + result.options.minus, 100 * nn::probability_of(explanation));
}

// From layer to layer, one strip per class.
data::Picture film(const data::Picture& shown, const Result& result) {
  std::vector<data::Film> films;
  for (const nn::Explanation& explanation : result.explanations)
    films.push_back(nn::film_of(explanation, shown, caption_of(explanation, result), result.options.explain));
  return data::film_strip(films);
}

data::Picture draw(const data::Picture& shown, const Result& result) {
  if (!result.options.film.empty()) return film(shown, result);
  const bool several = result.explanations.size() > 1;
  std::vector<data::Panel> panels;
  size_t columns = 0;
  for (const nn::Explanation& explanation : result.explanations) {
    panels.push_back({shown, several ? caption_of(explanation, result) : "picture"});
    for (data::Panel& panel : nn::panels_of(explanation, shown, result.options.explain)) panels.push_back(std::move(panel));
    if (columns == 0) columns = panels.size();
  }
  data::FigureOptions figure{.title = several ? result.options.explain.method : caption_of(result.explanations[0], result)};
  if (!several && result.options.explain.method != "gradcam") figure.title += "  " + result.options.explain.method;
  if (several) figure.columns = static_cast<int>(columns);
  return data::figure(panels, figure);
}

struct MapFile {
  std::string path;
  std::span<const float> values;
  int height, width, channels;
};

std::vector<MapFile> map_files(const Result& result) {
  std::vector<MapFile> files;
  if (result.options.npy.empty()) return files;
  for (const nn::Explanation& explanation : result.explanations) {
    const std::string name = result.explanations.size() > 1 ? "." + class_of(explanation, result.info) : "";
    for (const nn::CamMap& map : explanation.maps)
      files.push_back(
          {npy_path(result.options.npy, name, explanation.maps.size() > 1 ? "." + map.layer : ""), map.values, map.height, map.width, 0});
    if (const auto& pixels = explanation.pixels)
      files.push_back({npy_path(result.options.npy, name, ""), pixels->values, pixels->height, pixels->width, pixels->channels});
  }
  return files;
}

nlohmann::ordered_json extent_of(const std::vector<float>& values, int height, int width) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {{"height", height}, {"width", width}, {"min", *low}, {"max", *high}};
}

nlohmann::ordered_json maps_to_json(const nn::Explanation& explanation) {
  nlohmann::ordered_json maps = nlohmann::ordered_json::array();
  for (const nn::CamMap& map : explanation.maps) {
    maps.push_back({{"layer", map.layer}});
    maps.back().update(extent_of(map.values, map.height, map.width));
  }
  if (const auto& pixels = explanation.pixels) maps.push_back(extent_of(pixels->values, pixels->height, pixels->width));
  return maps;
}

nlohmann::ordered_json to_json(const Result& result) {
  const nn::Explanation& first = result.explanations[0];
  nlohmann::ordered_json by_class = nlohmann::ordered_json::object();
  for (size_t c = 0; c < result.info.vocabulary.size(); ++c) by_class[result.info.vocabulary[c]] = nn::probability_of(first.logits, c);
  nlohmann::ordered_json document = {{"file", data::shown(result.options.pictures[0])},
                                     {"class", class_of(first, result.info)},
                                     {"index", first.target.terms[0].index},
                                     {"logits", first.logits},
                                     {"probabilities", by_class},
                                     {"method", result.options.explain.method},
                                     {"style", result.options.style},
                                     {"layers", maps_to_json(first)},
                                     {"out", result.out}};
  if (!result.options.minus.empty()) document["minus"] = result.options.minus;
  add_orientation(document, result.orientation, result.info);
  if (result.explanations.size() == 1) return document;
  for (const nn::Explanation& explanation : result.explanations)
    document["explanations"].push_back({{"class", class_of(explanation, result.info)},
                                        {"index", explanation.target.terms[0].index},
                                        {"layers", maps_to_json(explanation)}});
  return document;
}

// The methods that run the network often report their progress.
std::vector<nn::Explanation> explained(const GradCamOptions& options, nn::LoadedModel& loaded, const data::Picture& picture,
                                       Device& device) {
  nn::ExplainOptions explain = options.explain;
  explain.targets = targets_of(options, loaded.info.vocabulary);
  explain.seed = options.common.seed;
  nn::Console console = make_console(options.common);
  ProgressLine line(console, explain.method);
  explain.batch.progress = [&line](int64_t done, int64_t total) { line(done, total); };
  const Tensor input = nn::prepare(picture, loaded.info, {.device = device});
  return nn::of_picture_named(options.pictures[0],
                              [&] { return nn::explain(*loaded.model, repeated(input, explain.targets.size()), explain); });
}

void say(const Result& result) {
  for (const nn::Explanation& explanation : result.explanations) {
    print(fmt::format("{}: {} ({:.1f} %), why: {}\n", data::shown(result.options.pictures[0]), class_of(explanation, result.info),
                      100 * nn::probability_of(explanation), result.out));
    for (const nn::CamMap& map : explanation.maps)
      if (!map.note.empty()) print(fmt::format("  {}\n", map.note));
  }
}

void explain_one(GradCamOptions& options, Outputs& outputs, nn::LoadedModel& loaded, Device& device) {
  const auto [picture, orientation] = data::load_file(options.pictures[0], {.exif_rotate = loaded.info.exif_rotate});
  say_turned(orientation != 1 ? 1 : 0, loaded.info.exif_rotate);
  const Result result{.options = options,
                      .info = loaded.info,
                      .explanations = explained(options, loaded, picture, device),
                      .out = out_of(options),
                      .orientation = orientation};
  const std::vector<MapFile> maps = map_files(result);
  for (const MapFile& map : maps) outputs.add("--npy", map.path, npy_file());
  data::write_png(result.out, draw(nn::resized_picture(picture, loaded.info), result));
  for (const MapFile& map : maps) data::write_npy(map.path, map.values, map.height, map.width, map.channels);
  if (options.common.json) {
    print_json(to_json(result));
  } else {
    say(result);
  }
}

void say_sheets(const nn::ExplainedFiles& result, const GradCamOptions& options, const nn::ModelInfo& info) {
  nlohmann::ordered_json document = {{"method", options.explain.method}, {"sheets", result.sheets}, {"pictures", nlohmann::json::array()}};
  std::string lines;
  for (const nn::ExplainedFile& one : result.pictures) {
    const std::string& name = info.vocabulary[static_cast<size_t>(one.index)];
    document["pictures"].push_back(
        {{"file", one.file}, {"class", name}, {"index", one.index}, {"probability", one.probability}, {"sheet", one.sheet}});
    add_orientation(document["pictures"].back(), one.orientation, info);
    lines += fmt::format("{}: {} ({:.1f} %), why: {}\n", one.file, name, 100 * one.probability, one.sheet);
    for (const std::string& note : one.notes) lines += fmt::format("  {}\n", note);
  }
  for (const nn::BadFile& bad : result.bad) document["skipped"].push_back(skipped_json(bad.file, bad.reason));
  if (options.common.json) {
    print_json(document);
  } else if (!lines.empty()) {
    print(lines);
  }
}

void explain_many(const GradCamOptions& options, const std::vector<fs::path>& files, nn::LoadedModel& loaded, Device& device) {
  if (!options.npy.empty()) throw UsageError("--npy writes the maps of one picture, but several were given", "give one picture");
  if (options.classes.size() > 1)
    throw UsageError("several pictures can be explained only for one --class, or without it for the most likely class of each",
                     "give one picture to explain several classes");
  nn::Console console = make_console(options.common);
  ProgressLine line(console, options.explain.method);
  int64_t pictures_done = 0;
  nn::SheetOptions sheets{
      .explain = options.explain, .film = !options.film.empty(), .per_sheet = options.per_sheet, .out = out_of(options)};
  if (!options.classes.empty()) sheets.explain.targets = targets_of(options, loaded.info.vocabulary);
  sheets.explain.seed = options.common.seed;
  const auto total = static_cast<int64_t>(files.size());
  sheets.explain.batch.progress = [&](int64_t, int64_t) { line(pictures_done, total); };
  sheets.progress = [&](int64_t done, int64_t) { line(pictures_done = done, total); };
  const nn::ExplainedFiles result = nn::explain_files(*loaded.model, files, loaded.info, sheets, {.device = device});
  const auto is_turned = [](const nn::ExplainedFile& one) { return one.orientation != 1; };
  say_turned(std::count_if(result.pictures.begin(), result.pictures.end(), is_turned), loaded.info.exif_rotate);
  say_sheets(result, options, loaded.info);
  if (const auto error = unused_error(result.bad, files.size())) throw *error;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;  // whatever reads the file reports the error
  return fs::is_directory(path, ignored);
}

// The picture or the sheets, checked before anything is computed.
Outputs planned(const GradCamOptions& options, const std::vector<fs::path>& files, bool many) {
  std::vector<fs::path> inputs = files;
  inputs.emplace_back(options.model.path);
  Outputs outputs(std::move(inputs));
  const auto per_sheet = static_cast<size_t>(options.per_sheet);
  const size_t sheets = many ? (files.size() + per_sheet - 1) / per_sheet : 1;
  for (size_t i = 0; i < sheets; ++i) outputs.add("--out", nn::sheet_path(out_of(options), i), png_file());
  if (!options.npy.empty()) Outputs(outputs).add("--npy", options.npy, npy_file());  // with several maps its name is extended later
  return outputs;
}

std::vector<std::string> layers_of(const GradCamOptions& options, nn::Module& model, bool many) {
  if (!options.film.empty()) return nn::film_layers(model);
  if (!options.layers.empty()) return options.layers;
  if (many || !nn::is_cam(options.explain.method)) return {"layer4"};
  return {"layer4", "layer3"};
}

void run(GradCamOptions& options) {
  const bool many = options.pictures.size() > 1 || is_folder(options.pictures[0]);
  if (!options.film.empty() && !nn::is_cam(options.explain.method))
    throw UsageError(fmt::format("--layers all needs a method with a map for each layer, but '{}' explains pixels", options.explain.method),
                     "use gradcam or another class activation map");
  Device& device = open(options.common);
  const auto [found, notes] = many ? data::picture_files(options.pictures) : data::PictureFiles();
  for (const std::string& note : notes) std::cerr << note << '\n';
  const std::vector<fs::path> files = many ? found : std::vector<fs::path>{options.pictures[0]};
  Outputs outputs = planned(options, files, many);
  nn::LoadedModel loaded = load(options.model, device);
  nn::ExplainOptions& explain = options.explain;
  explain.layers = layers_of(options, *loaded.model, many);
  explain.style = options.style == "paper" ? nn::CamStyle::paper : nn::CamStyle::course;
  explain.fuse = options.fuse == "mean" ? nn::Fuse::mean : options.fuse == "max" ? nn::Fuse::max : nn::Fuse::none;
  explain.colors = &data::colormap_of(options.colormap);
  if (many) {
    explain_many(options, files, loaded, device);
  } else {
    explain_one(options, outputs, loaded, device);
  }
}

void add_method_options(CLI::App& command, GradCamOptions& options) {
  const auto methods = nn::explanation_methods();
  command
      .add_option("--method", options.explain.method,
                  "the method: a map for each layer (gradcam ... ablationcam), or one map of the pixels")
      ->capture_default_str()
      ->check(one_of(std::vector<std::string>(methods.begin(), methods.end())))
      ->type_name("METHOD");
  command.add_option("--fuse", options.fuse, "combine the layers' maps, scaled to [0,1], by mean or max")
      ->capture_default_str()
      ->check(one_of({"none", "mean", "max"}))
      ->type_name("HOW");
  command.add_flag("--smooth", options.explain.smooth, "average the maps of six variants: mirrored or not, pixels times 0.9, 1 and 1.1");
  add_number(command, "--samples", options.explain.samples, kSamples,
             "steps of integrated (default 50), noisy pictures of smoothgrad (default 25)")
      ->default_str("");
  add_number(command, "--window", options.explain.window, kSquarePixels,
             "width of the square that occlusion hides, in pixels; default: a quarter of the picture")
      ->default_str("")
      ->type_name("PX");
  add_number(command, "--stride", options.explain.stride, kSquarePixels, "pixels from one square to the next; default: half a window")
      ->default_str("")
      ->type_name("PX");
  add_number(command, "--batch", options.explain.batch.batch_size, kBatch, "changed pictures per batch, for methods that need many");
}

}  // namespace

void add_gradcam(CLI::App& app) {
  auto options = std::make_shared<GradCamOptions>();
  CLI::App* command = app.add_subcommand("gradcam", "show which parts of a picture are evidence for its class");
  add_model(*command, options->model);
  add_method_options(*command, *options);
  command->add_option("PICTURE", options->pictures, "a picture; several, or a folder, for a contact sheet")->required();
  CLI::Option* layer =
      command
          ->add_option("--layer", options->layers, "a module, such as layer3 or model[0][-2]; may be repeated; default: layer4 and layer3")
          ->allow_extra_args(false)
          ->type_name("NAME");
  command->add_option("--layers", options->film, "all: a film strip, the map after each step from relu to layer4")
      ->check(one_of({"all"}))
      ->excludes(layer)
      ->excludes(command->get_option("--fuse"))
      ->type_name("all");
  command->add_option("--class", options->classes, "the class to explain; may be repeated, one row each; default: the most likely")
      ->allow_extra_args(false)
      ->type_name("NAME|INDEX");
  command->add_option("--minus", options->minus, "show the evidence for --class rather than for this one")->type_name("NAME|INDEX");
  command->add_option("--style", options->style, "course: colours from the map's minimum to its maximum; paper: with a ReLU, from 0")
      ->capture_default_str()
      ->check(one_of({"course", "paper"}))
      ->type_name("STYLE");
  command->add_option("--colormap", options->colormap, "the colours of maps: magma, viridis, inferno or jet")
      ->capture_default_str()
      ->check(one_of({"magma", "viridis", "inferno", "jet"}))
      ->type_name("NAME");
  add_number(*command, "--per-sheet", options->per_sheet, {1, 1000},
             "pictures per contact sheet; the rest go to further sheets, <out>-2.png ...");
  command->add_option("--out", options->out, "the picture to write; default: <name>-gradcam.png, or gradcam.png for several pictures")
      ->type_name("PNG");
  command->add_option("--npy", options->npy, "also write the raw map as f32 (h,w), or (h,w,3) for pixels; one file per layer and class")
      ->type_name("FILE");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
