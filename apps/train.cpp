// SPDX-License-Identifier: MIT
#include <fmt/ranges.h>

#include <iostream>

#include "apps/command.h"
#include "data/dataset.h"
#include "data/scenes.h"
#include "engine/atomic_file.h"
#include "nn/callbacks.h"
#include "nn/learner.h"
#include "weights/match.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

struct Options {
  CommonOptions common;
  std::string data;
  std::string weights;
  std::string arch = "resnet18";
  int epochs = 10;
  int freeze_epochs = 1;
  double lr = 1e-3;
  int64_t batch_size = 128;
  int resize = 256;
  int size = 128;
  double valid_pct = 0.2;
  std::string split_file;
  std::string init_head;
  int patience = 3;
  int64_t limit = 0;
  std::string out = "mirilla-out";
  std::string precision;
};

// The archive to train on; without --data the scenes, drawn into the results' folder so that eval and predict find them.
std::string data_path(const Options& options, const fs::path& out, nn::Console& console) {
  if (!options.data.empty()) return options.data;
  const std::string path = (out / "scenes.zip").string();
  data::ScenesOptions scenes{.size = options.resize, .seed = options.common.seed, .threads = options.common.threads};
  if (options.limit > 0) scenes.per_class = static_cast<int>(options.limit);
  const data::ScenesReport report = data::write_scenes(path, scenes);
  console.line(
      fmt::format("data: no --data, so the scenes: {} training and {} test pictures drawn into {}", report.train, report.test, path));
  return path;
}

std::shared_ptr<data::Dataset> open_data(const Options& options, const std::string& path, nn::Console& console) {
  auto dataset = data::open_training(data::open_source(path), {.limit_per_class = options.limit,
                                                               .valid_pct = options.valid_pct,
                                                               .split_file = options.split_file,
                                                               .options = {.resize = options.resize}});
  {
    ProgressLine progress(console, "decoding");
    dataset->scan(host_threads(), [&](int64_t done, int64_t total) { progress(done, total); });
  }
  if (dataset->valid().empty())
    throw DataError(fmt::format("{}: of {} pictures none is left to validate with, and without validation no model is the best", path,
                                dataset->train().size()),
                    "more pictures, a larger --valid-pct, or a --split-file");
  for (const data::BadPicture& bad : dataset->bad_pictures()) std::cerr << fmt::format("skipped {}: {}\n", bad.path, bad.reason);
  return dataset;
}

void describe_data(const data::Dataset& dataset, const std::string& path, nn::Console& console) {
  const std::vector<int64_t> train = dataset.class_counts(dataset.train()), valid = dataset.class_counts(dataset.valid());
  std::vector<std::string> classes;
  for (size_t c = 0; c < train.size(); ++c) classes.push_back(fmt::format("{} {}+{}", dataset.vocabulary()[c], train[c], valid[c]));
  console.line(fmt::format("data: {}: {} pictures to train on, {} to validate with", path, dataset.train().size(), dataset.valid().size()));
  console.line(fmt::format("classes (training+validation): {}", fmt::join(classes, ", ")));
}

void import_weights(const Options& options, nn::ResNet& model, nn::Console& console) {
  if (options.weights.empty()) {
    console.line(fmt::format("weights: none given, so the network starts from random numbers: all groups train at {}, with no frozen phase",
                             options.lr));
  } else {
    const weights::Report report = nn::import_body(model, options.weights);
    console.line(fmt::format("weights: {}: {}", options.weights, weights::describe(report)));
  }
  if (!options.init_head.empty()) {
    nn::load_head(model, options.init_head);
    console.line(fmt::format("head: {}", options.init_head));
  }
}

nlohmann::ordered_json config_of(const Options& options, const std::string& data, const data::Dataset& dataset, const Device& device) {
  return {{"data", data},
          {"weights", options.weights},
          {"arch", options.arch},
          {"epochs", options.epochs},
          {"freeze_epochs", options.weights.empty() ? 0 : options.freeze_epochs},
          {"lr", options.lr},
          {"batch_size", options.batch_size},
          {"resize", options.resize},
          {"size", options.size},
          {"valid_pct", options.valid_pct},
          {"split_file", options.split_file},
          {"init_head", options.init_head},
          {"patience", options.patience},
          {"limit", options.limit},
          {"seed", options.common.seed},
          {"device", device.name()},
          {"precision", amp::name_of(precision_of(options.precision, device))},
          {"threads", host_threads()},
          {"version", MIRILLA_VERSION},
          {"vocab", dataset.vocabulary()},
          {"train", dataset.train().size()},
          {"valid", dataset.valid().size()}};
}

std::string rough_time(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

void report_end(const Options& options, const nn::SaveBest& best, const std::string& data, const fs::path& out, nn::Console& console) {
  const std::string model = (out / "model.safetensors").string();
  if (options.common.json) {
    nlohmann::ordered_json document{{"out", out.string()},
                                    {"model", best.saved() ? nlohmann::ordered_json(model) : nlohmann::ordered_json()}};
    if (best.saved())
      document["best"] = {{"fit", best.saved_row().fit},
                          {"epoch", best.saved_row().epoch},
                          {"valid_loss", best.saved_row().valid_loss},
                          {"accuracy", best.saved_row().accuracy}};
    print_json(document);
  }
  if (!best.saved()) return;
  console.line(
      fmt::format("\nThe best model (validation accuracy {:.4f}) is in {}; history.csv, loss.png and config.json lie beside it.\nnext: "
                  "mirilla eval {} --data {}\n      mirilla predict {} PICTURE...\n      mirilla gradcam {} PICTURE",
                  best.saved_row().accuracy, model, model, data, model, model));
}

std::vector<nn::Phase> phases_of(const Options& options) {
  constexpr int kGroups = 3;
  return options.weights.empty() ? nn::from_scratch_phases(kGroups, options.epochs, options.lr)
                                 : nn::fine_tune_phases(kGroups, options.epochs, options.lr, options.freeze_epochs);
}

void run(const Options& options) {
  const std::vector<nn::Phase> phases = phases_of(options);
  Device& device = open(options.common);
  nn::Console console = make_console(options.common);
  const fs::path out = made_folder(options.out);
  const std::string data = data_path(options, out, console);
  const auto dataset = open_data(options, data, console);
  write_atomically(out / "config.json", config_of(options, data, *dataset, device).dump(2) + "\n");
  describe_data(*dataset, data, console);

  const int classes = static_cast<int>(dataset->vocabulary().size());
  nn::ResNet model({.arch = options.arch, .classes = classes, .seed = options.common.seed}, {.device = device});
  import_weights(options, model, console);
  const nn::ModelInfo info{.vocabulary = dataset->vocabulary(), .resize = options.resize, .size = options.size};
  nn::Learner learner = nn::make_learner(model, dataset, info,
                                         {.seed = options.common.seed,
                                          .precision = precision_of(options.precision, device),
                                          .interrupt = &interrupt_flag(),
                                          .batch_size = options.batch_size,
                                          .loader_threads = host_threads()});
  console.line(fmt::format("device: {}", device.description()));
  console.line(fmt::format("time: about {}", rough_time(learner.estimate_seconds(phases, options.batch_size, options.resize))));

  nn::Table table(console);
  nn::SaveBest best(console, model, info, out / "model.safetensors");
  nn::EarlyStopping early(console, options.patience);
  nn::LossGraph graph(console, learner.recorder(), out / "loss.png");
  for (nn::Callback* callback : std::initializer_list<nn::Callback*>{&table, &best, &early, &graph}) learner.add(*callback);
  try {
    learner.fit(phases);
  } catch (const Interrupted&) {
    nn::write_history(learner.recorder(), out / "history.csv");
    throw;
  }
  nn::write_history(learner.recorder(), out / "history.csv");
  report_end(options, best, data, out, console);
}

void add_data_options(CLI::App& command, Options& options) {
  command
      .add_option("--data", options.data, "a zip or folder of <class>/<picture>; its train/ part where it has one. Otherwise the scenes")
      ->type_name("ZIP|DIR");
  command.add_option("--resize", options.resize, "crop and resize pictures to this first, in pixels")
      ->capture_default_str()
      ->check(CLI::Range(1, 8192).description(""))
      ->type_name("PX");
  command.add_option("--size", options.size, "what the network sees, in pixels")
      ->capture_default_str()
      ->check(CLI::Range(32, 4096).description(""))
      ->type_name("PX");
  command.add_option("--valid-pct", options.valid_pct, "the share of pictures to validate with")->capture_default_str()->type_name("SHARE");
  command.add_option("--split-file", options.split_file, "the pictures to validate with, one a line")->type_name("FILE");
  command.add_option("--limit", options.limit, "the first N pictures of each class; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name("N");
}

void add_training_options(CLI::App& command, Options& options) {
  command.add_option("--weights", options.weights, "a pretrained body: .pth or .safetensors of torchvision, fastai or this program")
      ->type_name("FILE");
  command.add_option("--init-head", options.init_head, "the head's first values, from a file")->type_name("FILE");
  command.add_option("--arch", options.arch, "the network")
      ->capture_default_str()
      ->check(CLI::IsMember({"resnet18", "resnet34"}))
      ->type_name("NAME");
  command.add_option("--epochs", options.epochs, "passes over the data")->capture_default_str()->type_name("N");
  command.add_option("--freeze-epochs", options.freeze_epochs, "passes with a frozen body before them, where there are --weights")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--lr", options.lr, "the learning rate")->capture_default_str()->type_name("RATE");
  command.add_option("--batch-size", options.batch_size, "pictures a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("N");
  add_precision(command, options.precision);
  command.add_option("--patience", options.patience, "stop after so many epochs without a better one")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--out", options.out, "where the results go: config.json, history.csv, loss.png, model.safetensors")
      ->capture_default_str()
      ->type_name("DIR");
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "train a classifier on pictures, as fastai's fine_tune does");
  add_data_options(*command, *options);
  add_training_options(*command, *options);
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
