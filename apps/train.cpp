// SPDX-License-Identifier: MIT
#include "apps/command.h"
#include "apps/data_text.h"
#include "apps/failure.h"
#include "apps/numbers.h"
#include "apps/pictures.h"
#include "apps/run_folder.h"
#include "apps/training.h"
#include "data/archive/names.h"
#include "kernels/core/atomic_file.h"
#include "kernels/host/threads.h"
#include "nn/train/batch_hint.h"
#include "nn/train/callbacks.h"
#include "nn/train/divergence_hint.h"
#include "nn/train/learner.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

struct TrainOptions : TrainingOptions {
  int epochs = 10;
  int freeze_epochs = 1;
  double lr = 1e-3;
  int patience = 3;
};

nlohmann::ordered_json config_of(const TrainOptions& options, const std::string& data, const data::Dataset& dataset, const Device& device) {
  nlohmann::ordered_json config = {{"data", data::shown(data)},
                                   {"weights", data::shown(options.weights)},
                                   {"arch", options.arch},
                                   {"epochs", options.epochs},
                                   {"freeze_epochs", options.weights.empty() ? 0 : options.freeze_epochs},
                                   {"lr", options.lr},
                                   {"batch_size", options.batch_size},
                                   {"resize", options.resize},
                                   {"size", options.size},
                                   {"valid_pct", options.valid_pct},
                                   {"split_file", data::shown(options.split_file)},
                                   {"init_head", data::shown(options.init_head)},
                                   {"patience", options.patience},
                                   {"limit", options.limit},
                                   {"seed", options.common.seed},
                                   {"device", device.name()},
                                   {"precision", amp::name_of(precision_of(options.precision, device))},
                                   {"replay", nn::replays(options.replay, device)},
                                   {"threads", host_threads()},
                                   {"version", MIRILLA_VERSION},
                                   {"vocab", dataset.vocabulary()},
                                   {"train", dataset.train().size()},
                                   {"valid", dataset.valid().size()}};
  if (!dataset.origin().valid.empty()) config[kValidPart] = folders_text(dataset.origin().valid);
  if (options.exif_rotate) config["exif_rotate"] = true;
  if (options.max_bad != data::kUsualMaxBad) config["max_bad"] = options.max_bad;
  return config;
}

std::string rough_time(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

nlohmann::ordered_json result_of(const nn::SaveBest& best, const data::Dataset& dataset, const fs::path& out) {
  nlohmann::ordered_json document{{"out", out.string()},
                                  {"model", best.saved() ? nlohmann::ordered_json(best.file().string()) : nlohmann::ordered_json()}};
  if (best.saved())
    document["best"] = {{"fit", best.saved_row().fit},
                        {"epoch", best.saved_row().epoch},
                        {"valid_loss", best.saved_row().valid_loss},
                        {"accuracy", best.saved_row().accuracy}};
  add_scan(document, dataset);
  return document;
}

void report_end(const TrainOptions& options, const nn::SaveBest& best, const data::Dataset& dataset, const std::string& data,
                const fs::path& out, nn::Console& console) {
  const std::string model = best.file().string();
  if (options.common.json) print_json(result_of(best, dataset, out));
  console.line(
      fmt::format("\nThe best model (validation accuracy {:.4f}) is in {}; history.csv, loss.png and config.json are beside it.\nnext: "
                  "mirilla eval {} --data {}\n      mirilla predict {} PICTURE...\n      mirilla gradcam {} PICTURE",
                  best.saved_row().accuracy, model, model, data, model, model));
}

std::vector<nn::Phase> phases_of(const TrainOptions& options) {
  constexpr int kGroups = 3;
  return options.weights.empty() ? nn::from_scratch_phases(kGroups, options.epochs, options.lr)
                                 : nn::fine_tune_phases(kGroups, options.epochs, options.lr, options.freeze_epochs);
}

// After a training whose last fit has no epoch to keep, although its weights are finite.
nn::Diverged without_a_model(nn::Learner& learner, const nn::SaveBest& best) {
  const std::string stays = best.saved() ? fmt::format("; the best model of the previous fit is in {}", best.file().string()) : "";
  constexpr std::string_view kWhat = "the training diverged: no epoch of its last fit produced a model to save";
  const std::string hint = nn::divergence_hint(learner.recorder());
  try {
    learner.require_finite_validation();
  } catch (const nn::NotFinite& error) {
    return nn::Diverged(fmt::format("{}; in validation {}{}", kWhat, error.message(), stays),
                        error.cause.finite_in_fp32 ? error.hint() : hint);
  }
  return nn::Diverged(fmt::format("{}{}", kWhat, stays), hint);
}

// The known results of a failed run are saved, and reported to programs.
void failed(const Error& error, const TrainOptions& options, const CLI::App& command, const nn::Recorder& recorder,
            nlohmann::ordered_json result) {
  try {
    nn::write_history(recorder, fs::path(options.out) / "history.csv");
  } catch (const Error&) {  // the error that ended the run matters more
  }
  if (!options.common.json) return;
  result.update(error_json(error, hint_for(error, command)));
  print_json(result);
}

void run(const TrainOptions& options, const CLI::App& command) {
  const std::vector<nn::Phase> phases = phases_of(options);
  Device& device = open(options.common);
  nn::replays(options.replay, device);  // an invalid value is refused before anything is read or written
  nn::Console console = make_console(options.common);
  const fs::path out = results_folder(options, {{"config.json", config_file()},
                                                {"history.csv", text_file("a history of `mirilla train`", "fit,epoch,")},
                                                {"loss.png", png_file()},
                                                {"model.safetensors", model_file()}});
  const std::string data = data_path(options, out, console);
  const auto dataset = open_data(options, data, console);
  const std::string config = json_text(config_of(options, data, *dataset, device));
  describe_data(*dataset, data, console);

  nn::ResNet model = make_network(options, *dataset, device);
  import_weights(options,
                 fmt::format("weights: none given, so the network starts from random numbers: all groups train at {}, with no frozen phase",
                             options.lr),
                 model, console);
  nn::Learner learner = make_learner(options, model, dataset);
  console.line(fmt::format("device: {}", device.description()));
  console.line(fmt::format("time: about {}", rough_time(learner.estimate_seconds(phases, options.batch_size, options.resize))));

  nn::Table table(console);
  nn::SaveBest best(console, model, learner.info(), out / "model.safetensors");
  nn::StopDiverged diverged(learner);
  nn::EarlyStopping early(console, options.patience);
  nn::LossGraph graph(console, learner.recorder(), out / "loss.png");
  for (nn::Callback* callback : std::initializer_list<nn::Callback*>{&table, &best, &diverged, &early, &graph}) learner.add(*callback);
  learner.require_batches();
  begin_run(out, config);
  const SignalsRaiseFlag signals;  // from here on there are results to save
  try {
    nn::with_batch_hint(options.batch_size, [&] { learner.fit(phases); });
    if (!best.saved_in_last_fit()) throw without_a_model(learner, best);
  } catch (const Error& error) {
    failed(error, options, command, learner.recorder(), result_of(best, *dataset, out));
    throw;
  }
  nn::write_history(learner.recorder(), out / "history.csv");
  report_end(options, best, *dataset, data, out, console);
}

void add_training_options(CLI::App& command, TrainOptions& options) {
  add_number(command, "--epochs", options.epochs, kEpochs, "passes over the data");
  add_number(command, "--freeze-epochs", options.freeze_epochs, {0, kEpochs.most},
             "passes with a frozen body before them, with --weights only");
  add_number(command, "--lr", options.lr, kRate, "the learning rate")->type_name("RATE");
  add_number(command, "--patience", options.patience, kEpochs, "stop after this many epochs without improvement");
  command
      .add_option_function<std::string>(
          "--replay", [&options](const std::string& word) { options.replay = nn::replay_mode_of(word); },
          "record a training step once and replay it: on, off, or auto (only on a GPU)")
      ->default_str("auto")
      ->check(one_of({"auto", "on", "off"}))
      ->type_name("WORD");
  command.add_option("--out", options.out, "the folder for the results: config.json, history.csv, loss.png, model.safetensors")
      ->capture_default_str()
      ->type_name("DIR");
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "train a classifier on pictures, as fastai's fine_tune does");
  add_data_options(*command, *options);
  add_network_options(*command, *options);
  add_training_options(*command, *options);
  add_common(*command, options->common);
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace mirilla::apps
