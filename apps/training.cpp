// SPDX-License-Identifier: MIT
#include "apps/training.h"

#include <fmt/ranges.h>

#include <iostream>
#include "apps/data_text.h"
#include "apps/numbers.h"
#include "apps/pictures.h"
#include "data/archive/names.h"
#include "data/scenes/scenes.h"
#include "kernels/host/threads.h"
#include "weights/match.h"

namespace mirilla::apps {

namespace fs = std::filesystem;

namespace {
constexpr const char* kScenes = "scenes.zip";
}

void add_data_options(CLI::App& command, TrainingOptions& options) {
  command
      .add_option("--data", options.data,
                  "a zip or folder of <class>/<picture>; its train/ and val/ parts if it has them. Default: the scenes")
      ->type_name("ZIP|DIR");
  add_number(command, "--resize", options.resize, kResizePixels, "crop and resize pictures to this first, in pixels")->type_name("PX");
  add_number(command, "--size", options.size, kSizePixels, "what the network sees, in pixels")->type_name("PX");
  add_number(command, "--valid-pct", options.valid_pct, kValidationShare,
             "the share of pictures to validate with; if not given, a val/ part of the data validates instead")
      ->each([&options](const std::string&) { options.valid_pct_said = true; })
      ->type_name("SHARE");
  command.add_option("--split-file", options.split_file, "a list of the pictures to validate with, one path per line")->type_name("FILE");
  add_number(command, "--limit", options.limit, kPicturesPerClass, "the first N pictures of each class; 0: all");
  add_exif_rotate(command, options.exif_rotate);
  add_max_bad(command, options.max_bad);
}

namespace {

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const nn::Architecture& one : nn::architectures()) names.emplace_back(one.name);
  return names;
}

}  // namespace

void add_network_options(CLI::App& command, TrainingOptions& options) {
  command.add_option("--weights", options.weights, "a pretrained body: .pth or .safetensors of torchvision, fastai or this program")
      ->type_name("FILE");
  command.add_option("--init-head", options.init_head, "the head's first values, from a file")->type_name("FILE");
  add_allow_nonfinite(command, options.allow_nonfinite);
  command.add_option("--arch", options.arch, "the network")->capture_default_str()->check(one_of(architecture_names()))->type_name("NAME");
  add_number(command, "--batch-size", options.batch_size, kBatch, "pictures per step");
  command
      .add_option(
          "--device-pictures", options.device_pictures,
          "the GPU's memory for pictures that are the same in every epoch: auto (a quarter of what is free), off, or bytes such as 8G")
      ->capture_default_str()
      ->check(CLI::Validator(
          [](const std::string& text) {
            try {
              nn::parse_device_pictures(text);
              return std::string();
            } catch (const UsageError& error) {
              return error.message();
            }
          },
          ""))
      ->type_name("BYTES");
  add_precision(command, options.precision);
}

fs::path results_folder(const TrainingOptions& options, const std::vector<std::pair<std::string, FileKind>>& files) {
  if (!options.data.empty()) keep_out_of_classes("--out", options.out, options.data);
  const fs::path out = made_folder(options.out);
  Outputs outputs({options.data, options.weights, options.init_head, options.split_file});
  for (const auto& [name, kind] : files) outputs.add("--out", out / name, kind);
  if (options.data.empty()) outputs.add("--out", out / kScenes, scenes_file());
  return out;
}

std::string data_path(const TrainingOptions& options, const fs::path& out, nn::Console& console) {
  if (!options.data.empty()) return options.data;
  const std::string path = (out / kScenes).string();
  data::ScenesOptions scenes{.size = options.resize, .seed = options.common.seed, .threads = options.common.threads};
  if (options.limit > 0) scenes.per_class = static_cast<int>(options.limit);
  const data::ScenesReport report = data::write_scenes(path, scenes);
  console.line(fmt::format("data: no --data given, so {} training and {} test scenes were drawn into {}", report.train, report.test, path));
  return path;
}

std::shared_ptr<data::Dataset> open_data(const TrainingOptions& options, const std::string& path, nn::Console& console) {
  const fs::path results[] = {options.out};  // loss.png in it is not a photo
  auto dataset =
      data::open_training(data::open_source(path, results),
                          {.limit_per_class = options.limit,
                           .valid_pct = options.valid_pct,
                           .split_file = options.split_file,
                           .valid_part = !options.valid_pct_said,
                           .options = {.resize = options.resize, .exif_rotate = options.exif_rotate, .max_bad = options.max_bad}});
  say_notes(*dataset);
  {
    ProgressLine progress(console, "decoding");
    scan(*dataset, progress);
  }
  if (dataset->valid().empty())
    throw DataError(fmt::format("{}: of {} pictures none is left to validate with, and training needs validation to find the best model",
                                path, dataset->train().size()),
                    "give more pictures, a larger --valid-pct, or a --split-file");
  return dataset;
}

namespace {

// train/ and val/ of the data, or the parts used instead.
std::string parts_of(const data::Dataset& dataset) {
  const data::DataOrigin& origin = dataset.origin();
  const size_t train = dataset.train().size(), valid = dataset.valid().size();
  if (!origin.valid.empty())
    return fmt::format("{} pictures to train on ({}), {} to validate with ({})", train,
                       origin.train.empty() ? "all outside the parts" : folders_text(origin.train), valid, folders_text(origin.valid));
  return fmt::format("{} pictures to train on, {} to validate with{}", train, valid,
                     origin.train.empty() ? "" : fmt::format(", both from {}", folders_text(origin.train)));
}

}  // namespace

void describe_data(const data::Dataset& dataset, const std::string& path, nn::Console& console) {
  const std::vector<int64_t> train = dataset.class_counts(dataset.train()), valid = dataset.class_counts(dataset.valid());
  std::vector<std::string> classes;
  for (size_t c = 0; c < train.size(); ++c) {
    const std::string& name = dataset.vocabulary()[c];
    const bool needs_quotes = name.starts_with(' ') || name.ends_with(' ');  // otherwise the blank would not be visible
    classes.push_back(fmt::format("{} {}+{}", needs_quotes ? data::in_quotes(name) : name, train[c], valid[c]));
  }
  console.line(fmt::format("data: {}: {}{}", data::shown(path), parts_of(dataset), aside_text(dataset.origin(), true)));
  console.line(fmt::format("classes (training+validation): {}", fmt::join(classes, ", ")));
  if (const std::string missing = missing_text(dataset, dataset.valid()); !missing.empty())
    console.line(fmt::format("note: there is no picture of {} to validate with", missing));
}

nn::ResNet make_network(const TrainingOptions& options, const data::Dataset& dataset, Device& device) {
  const int classes = static_cast<int>(dataset.vocabulary().size());
  return nn::ResNet({.arch = options.arch, .classes = classes, .seed = options.common.seed}, {.device = device});
}

void import_weights(const TrainingOptions& options, std::string_view without_weights, nn::Module& model, nn::Console& console) {
  const nn::ImportOptions importing{.allow_nonfinite = options.allow_nonfinite,
                                    .warn = [](const std::string& line) { std::cerr << line << '\n'; }};
  if (options.weights.empty()) {
    console.line(without_weights);
  } else {
    const weights::Report report = nn::import_body(model, options.weights, importing);
    console.line(fmt::format("weights: {}: {}", options.weights, weights::describe(report)));
  }
  if (!options.init_head.empty()) {
    nn::load_head(model, options.init_head, importing);
    console.line(fmt::format("head: {}", options.init_head));
  }
}

nn::Learner make_learner(const TrainingOptions& options, nn::Module& model, std::shared_ptr<const data::Dataset> dataset) {
  const nn::ModelInfo info{
      .vocabulary = dataset->vocabulary(), .resize = options.resize, .size = options.size, .exif_rotate = options.exif_rotate};
  Device& device = nn::placement_of(model).device;
  return nn::make_learner(model, std::move(dataset), info,
                          {.seed = options.common.seed,
                           .precision = precision_of(options.precision, device),
                           .replay = {.mode = options.replay},
                           .interrupt = &interrupt_flag(),
                           .batch_size = options.batch_size,
                           .loader_threads = host_threads(),
                           .device_pictures = nn::parse_device_pictures(options.device_pictures)});
}

}  // namespace mirilla::apps
