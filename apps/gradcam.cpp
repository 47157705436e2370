// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "data/decode.h"
#include "data/figure.h"
#include "data/npy.h"
#include "data/png_write.h"
#include "nn/grad_cam.h"
#include "nn/predict.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

struct Options {
  CommonOptions common;
  ModelOptions model;
  std::string picture;
  std::vector<std::string> layers;
  std::string target;
  std::string style = "course";
  std::string out;
  std::string npy;
};

std::vector<double> softmax_of(const std::vector<double>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> probabilities;
  double total = 0;
  for (const double logit : logits) total += probabilities.emplace_back(std::exp(logit - largest));
  for (double& p : probabilities) p /= total;
  return probabilities;
}

// photos/20058.jpg -> 20058-gradcam.png, here
std::string default_out(const std::string& picture) { return fs::path(picture).stem().string() + "-gradcam.png"; }

// One file for one layer; with several, the layer's name goes before the extension.
std::string npy_path(const std::string& wanted, const std::string& layer, size_t layers) {
  if (layers == 1) return wanted;
  const fs::path path(wanted);
  return (path.parent_path() / (path.stem().string() + "." + layer + path.extension().string())).string();
}

data::Picture draw(const data::Picture& shown, const nn::GradCam& cam, const nn::ModelInfo& info, nn::CamStyle style) {
  std::vector<data::Panel> panels{{shown, "picture"}};
  for (const nn::CamMap& map : cam.maps)
    panels.push_back({nn::overlay(shown, map, style), fmt::format("{} ({}x{})", map.layer, map.height, map.width)});
  const double probability = softmax_of(cam.logits)[static_cast<size_t>(cam.target)];
  return data::figure(panels, {.title = fmt::format("{}: {:.1f} %", info.vocabulary[static_cast<size_t>(cam.target)], 100 * probability)});
}

nlohmann::ordered_json to_json(const Options& options, const nn::GradCam& cam, const nn::ModelInfo& info, const std::string& out) {
  const std::vector<double> probabilities = softmax_of(cam.logits);
  nlohmann::ordered_json by_class = nlohmann::ordered_json::object();
  for (size_t c = 0; c < info.vocabulary.size(); ++c) by_class[info.vocabulary[c]] = probabilities[c];
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const nn::CamMap& map : cam.maps) {
    const auto [low, high] = std::minmax_element(map.values.begin(), map.values.end());
    layers.push_back({{"layer", map.layer}, {"height", map.height}, {"width", map.width}, {"min", *low}, {"max", *high}});
  }
  return {{"file", options.picture},   {"class", info.vocabulary[static_cast<size_t>(cam.target)]},
          {"index", cam.target},       {"logits", cam.logits},
          {"probabilities", by_class}, {"style", options.style},
          {"layers", layers},          {"out", out}};
}

void run(const Options& options) {
  Device& device = open(options.common);
  const data::Picture picture = data::load_picture(options.picture);
  const nn::LoadedModel loaded = load(options.model, device);
  const std::vector<std::string> layers = options.layers.empty() ? std::vector<std::string>{"layer4", "layer3"} : options.layers;
  const nn::CamStyle style = options.style == "paper" ? nn::CamStyle::paper : nn::CamStyle::course;
  const nn::GradCam cam = nn::grad_cam(*loaded.model, nn::prepare(picture, loaded.info, {.device = device}), layers,
                                       class_index(options.target, loaded.info.vocabulary), style);
  const std::string out = options.out.empty() ? default_out(options.picture) : options.out;
  data::write_png(out, draw(nn::resized_picture(picture, loaded.info), cam, loaded.info, style));
  if (!options.npy.empty())
    for (const nn::CamMap& map : cam.maps)
      data::write_npy(npy_path(options.npy, map.layer, cam.maps.size()), map.values, map.height, map.width);
  if (options.common.json) {
    print_json(to_json(options, cam, loaded.info, out));
  } else {
    print(fmt::format("{}: {} ({:.1f} %), why: {}\n", options.picture, loaded.info.vocabulary[static_cast<size_t>(cam.target)],
                      100 * softmax_of(cam.logits)[static_cast<size_t>(cam.target)], out));
  }
}

}  // namespace

void add_gradcam(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("gradcam", "show what of a picture speaks for its class");
  add_model(*command, options->model);
  command->add_option("PICTURE", options->picture, "a picture")->required();
  command->add_option("--layer", options->layers, "a module, as layer3 or model[0][-2]; may be repeated; layer4 and layer3 otherwise")
      ->allow_extra_args(false)
      ->type_name("NAME");
  command->add_option("--class", options->target, "the class to explain; the likeliest otherwise")->type_name("NAME|INDEX");
  command->add_option("--style", options->style, "course: colours from the map's minimum to its maximum; paper: with a ReLU, from 0")
      ->capture_default_str()
      ->check(CLI::IsMember({"course", "paper"}))
      ->type_name("STYLE");
  command->add_option("--out", options->out, "the picture to write; <name>-gradcam.png here otherwise")->type_name("PNG");
  command->add_option("--npy", options->npy, "also write the raw map as f32 (h,w); with several layers, a file each")->type_name("FILE");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
