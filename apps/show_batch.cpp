// SPDX-License-Identifier: MIT
#include "nn/inspect/show_batch.h"

#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "apps/training.h"
#include "data/dataset.h"
#include "data/write/png_write.h"
#include "kernels/host/threads.h"

namespace mirilla::apps {

namespace {

struct ShowBatchCommand {
  TrainingOptions training;
  int64_t n = 9;
  int64_t unique = 0;
  bool valid = false;
  std::string out = "batch.png";
};

nlohmann::ordered_json to_json(const ShowBatchCommand& options, const nn::ShownBatch& batch, const data::Dataset& dataset) {
  nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
  for (const nn::ShownPicture& one : batch.pictures) {
    const data::Item& item = dataset.items()[static_cast<size_t>(one.item)];
    nlohmann::ordered_json line{{"file", item.path}, {"class", item.label}};
    if (!options.valid)
      line["draw"] = {{"flip", one.draw.flip},     {"degrees", one.draw.degrees},       {"zoom", one.draw.zoom},
                      {"zoom_x", one.draw.zoom_x}, {"zoom_y", one.draw.zoom_y},         {"warp_x", one.draw.warp_x},
                      {"warp_y", one.draw.warp_y}, {"brightness", one.draw.brightness}, {"contrast", one.draw.contrast}};
    pictures.push_back(line);
  }
  nlohmann::ordered_json document{
      {"out", options.out},
      {"part", options.valid ? "valid" : "train"},
      {"batch", batch.n},
      {"resize", options.training.resize},
      {"size", options.training.size},
      {"crop", {{"x", batch.crop.x}, {"y", batch.crop.y}, {"width", batch.crop.width}, {"height", batch.crop.height}}},
      {"pictures", pictures}};
  add_scan(document, dataset);
  return document;
}

std::string describe(const ShowBatchCommand& options, const nn::ShownBatch& batch, const data::Dataset& dataset) {
  if (options.unique > 0)
    return fmt::format("{}: {} with the augmentation of training", options.out,
                       dataset.items()[static_cast<size_t>(batch.pictures.front().item)].path);
  return fmt::format("{}: {} of the {} pictures of the first {} batch, each as the network sees it", options.out, batch.pictures.size(),
                     batch.n, options.valid ? "validation" : "training");
}

void run(const ShowBatchCommand& options) {
  Device& device = open(options.training.common);
  const std::filesystem::path folder = std::filesystem::path(options.out).parent_path();
  keep_out_of_classes("--out", folder.empty() ? "." : folder, options.training.data);
  Outputs({options.training.data, options.training.split_file}).add("--out", options.out, png_file());
  nn::Console console = make_console(options.training.common);
  const auto dataset = open_data(options.training, options.training.data, console);
  const nn::ModelInfo info{.vocabulary = dataset->vocabulary(),
                           .resize = options.training.resize,
                           .size = options.training.size,
                           .exif_rotate = options.training.exif_rotate};
  const nn::ShownBatch batch = nn::show_batch(dataset, info,
                                              {.pictures = options.n,
                                               .batch_size = options.training.batch_size,
                                               .training = !options.valid,
                                               .variants = options.unique,
                                               .seed = options.training.common.seed,
                                               .augment = {},
                                               .loader_threads = host_threads()},
                                              {.device = device});
  data::write_png(options.out, nn::figure_of(batch, *dataset));
  if (options.training.common.json)
    print_json(to_json(options, batch, *dataset));
  else
    console.line(describe(options, batch, *dataset));
}

}  // namespace

void add_show_batch(CLI::App& app) {
  auto options = std::make_shared<ShowBatchCommand>();
  CLI::App* command = app.add_subcommand("show-batch", "show the first batch of `train` with the same options, as the network sees it");
  add_data_options(*command, options->training);
  command->get_option("--data")->required()->description("a zip or folder of <class>/<picture>; its train/ and val/ parts if it has them");
  add_number(*command, "--batch-size", options->training.batch_size, kBatch, "pictures per step: they share one crop");
  constexpr Bounds<int64_t> kShown{1, 1024};
  add_number(*command, "--n", options->n, kShown, "number of pictures");
  CLI::Option* unique =
      add_number(*command, "--unique", options->unique, kShown, "show one picture N times, each time with new random augmentation")
          ->default_str("");
  command->add_flag("--valid", options->valid, "show validation pictures, which are not augmented")->excludes(unique);
  command->add_option("--out", options->out, "the picture to write")->capture_default_str()->type_name("PNG");
  add_common(*command, options->training.common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
