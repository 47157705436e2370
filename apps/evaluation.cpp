// SPDX-License-Identifier: MIT
#include "apps/evaluation.h"

#include <fstream>
#include <iostream>

#include "apps/data_text.h"
#include "apps/numbers.h"
#include "apps/pictures.h"
#include "data/archive/names.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/train/batch_hint.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTest = "test", kValid = "valid";

// What `mirilla train` wrote beside the model; an empty object if there is no such file.
nlohmann::json training_config(const std::string& model) {
  const fs::path path = fs::path(model).parent_path() / "config.json";
  std::ifstream file(path);
  if (!file) return nlohmann::json::object();
  nlohmann::json config = nlohmann::json::parse(file, nullptr, false);
  if (!config.is_object())
    throw DataError(fmt::format("{}: expected JSON that says how training split its pictures, but this is not JSON", path.string()),
                    "move the file away and give --valid-pct, --split-file or --limit instead");
  return config;
}

// The value of a key, if the file has it and `right` accepts it.
template <class T, class Right>
T config_value(const nlohmann::json& config, const char* key, T otherwise, Right&& right) {
  constexpr size_t kShown = 60;
  const auto found = config.find(key);
  if (found == config.end()) return otherwise;
  if (right(*found)) return found->template get<T>();
  std::string shown = found->dump();
  if (shown.size() > kShown) shown = shown.substr(0, kShown) + "...";
  throw DataError(fmt::format("config.json beside the model has '{}': {}, which is not what training writes there", key, shown),
                  "move the file away and give --valid-pct, --split-file or --limit instead");
}

// The data without the model's own folder, whose loss.png is not a photo.
std::shared_ptr<const data::Source> open_photos(const EvaluationOptions& options, const std::string& model) {
  const fs::path results[] = {fs::absolute(model).parent_path()};
  return data::open_source(options.data, results);
}
bool is_limit(const nlohmann::json& value) {
  return value.is_number_integer() && value >= kPicturesPerClass.least && value <= kPicturesPerClass.most;
}
bool is_share(const nlohmann::json& value) {
  return value.is_number() && value >= kValidationShare.least && value <= kValidationShare.most;
}
bool is_text(const nlohmann::json& value) { return value.is_string(); }

data::TrainingData training_data(const EvaluationOptions& options, const std::string& model, data::DatasetOptions dataset) {
  const nlohmann::json config = training_config(model);
  data::TrainingData wanted{.limit_per_class = options.limit.value_or(config_value(config, "limit", int64_t{0}, is_limit)),
                            .valid_pct = options.valid_pct.value_or(config_value(config, "valid_pct", 0.2, is_share)),
                            .split_file = options.split_file,
                            .valid_part = !options.valid_pct && (config.empty() || config.contains(kValidPart)),
                            .options = std::move(dataset)};
  if (wanted.split_file.empty() && !options.valid_pct)
    wanted.split_file = data::unshown(config_value(config, "split_file", std::string(), is_text));
  return wanted;
}

std::shared_ptr<data::Dataset> open_validation(const EvaluationOptions& options, const std::string& model, data::DatasetOptions dataset) {
  const data::TrainingData wanted = training_data(options, model, std::move(dataset));
  auto opened = data::open_validation(open_photos(options, model), wanted);
  const bool has_part = !opened->origin().valid.empty();
  if (!has_part && wanted.valid_part && wanted.split_file.empty()) {
    const std::string folders = config_value(training_config(model), kValidPart, std::string(), is_text);
    if (!folders.empty())
      throw DataError(fmt::format("{}: training validated with {}, but this data has no such part", data::shown(options.data), folders),
                      "give the data that training used with --data, or choose another part with --valid-pct or --split-file");
  }
  std::cerr << fmt::format("validation part: {}{}\n",
                           has_part                    ? folders_text(opened->origin().valid)
                           : wanted.split_file.empty() ? fmt::format("a share of {}", wanted.valid_pct)
                                                       : "the list " + data::shown(wanted.split_file),
                           wanted.limit_per_class > 0 ? fmt::format(" of the first {} of each class", wanted.limit_per_class) : "");
  return opened;
}

// Says what is measured, so that training pictures are not mistaken for others.
void say_measured(const std::string& path, const data::Dataset& dataset) {
  const data::DataOrigin& origin = dataset.origin();
  const size_t n = dataset.valid().size();
  std::string text;
  if (!origin.train.empty()) {
    text = fmt::format("{} pictures of {}", n, folders_text(origin.train));
  } else {
    std::vector<std::string> learned;
    for (const data::PartFolder& folder : origin.aside)
      if (folder.part == data::Part::train || folder.part == data::Part::valid) learned.push_back(folder.path);
    text = fmt::format("all {} pictures, since it has no test/ part{}", n,
                       learned.empty() ? "" : fmt::format("; this includes those of {}, which training used", folders_text(learned)));
  }
  std::cerr << fmt::format("data: {}: {}\n", data::shown(path), text);
}

std::shared_ptr<data::Dataset> open_data(const EvaluationOptions& options, const std::string& model, const nn::ModelInfo& info) {
  const data::DatasetOptions dataset{
      .resize = info.resize, .vocabulary = info.vocabulary, .exif_rotate = info.exif_rotate, .max_bad = options.max_bad};
  if (options.part == kValid) return open_validation(options, model, dataset);
  if (options.valid_pct || !options.split_file.empty())
    throw UsageError("--valid-pct and --split-file choose training's validation pictures, but --part is test",
                     "use --part valid for these pictures");
  auto opened = data::open_evaluation(open_photos(options, model), dataset, options.limit.value_or(0));
  say_measured(options.data, *opened);
  return opened;
}

nn::Evaluation run_evaluation(const EvaluationOptions& options, const nn::LoadedModel& loaded,
                              const std::shared_ptr<data::Dataset>& dataset, amp::Precision precision, ProgressLine& progress) {
  data::LoaderOptions loading{.batch_size = options.batch_size, .training = false, .threads = host_threads()};
  // A single pass caches nothing for a second one; test-time augmentation reads the loader's pictures.
  Device& device = options.tta ? open_device("cpu") : nn::placement_of(*loaded.model).device;
  const std::unique_ptr<nn::Batches> batches = nn::make_batches({dataset, loading}, device);
  int64_t done = 0;
  const int64_t total = batches->pictures_per_epoch() * (options.tta ? options.tta->n + 1 : 1);
  const nn::EvaluateOptions evaluating{
      .after_batch = [&](int64_t, int64_t n) { progress(done += n, total); }, .interrupt = &interrupt_flag(), .precision = precision};
  if (!options.tta) return nn::evaluate(*loaded.model, *batches, loaded.info, evaluating);
  loading.random_crops = true;
  loading.seed = options.tta->seed;
  nn::LoaderBatches augmented(dataset, loading);
  return nn::evaluate_tta(*loaded.model, augmented, *batches, loaded.info, *options.tta, evaluating);
}

}  // namespace

void add_evaluation(CLI::App& command, EvaluationOptions& options) {
  command.add_option("--data", options.data, "a zip or folder of <class>/<picture>; its test/ part if it has one")
      ->required()
      ->type_name("ZIP|DIR");
  command
      .add_option("--part", options.part,
                  "test: the test/ part; valid: the pictures that training validated with, as in config.json beside the model or the next "
                  "two options; without both, the val/ part")
      ->capture_default_str()
      ->check(one_of({std::string(kTest), std::string(kValid)}))
      ->type_name("PART");
  add_number(command, "--valid-pct", options.valid_pct, kValidationShare, "with --part valid: the share that training validated with")
      ->type_name("SHARE");
  command.add_option("--split-file", options.split_file, "with --part valid: the list that training validated with")
      ->excludes("--valid-pct")
      ->type_name("FILE");
  add_number(command, "--limit", options.limit, kPicturesPerClass,
             "the first N pictures of each class; 0: all. With --part valid: the --limit of training");
  add_max_bad(command, options.max_bad);
  add_number(command, "--batch-size", options.batch_size, kBatch, "pictures per batch");
  add_precision(command, options.precision);
}

Evaluated evaluate(const EvaluationOptions& options, const ModelOptions& model, const nn::LoadedModel& loaded, Device& device,
                   ProgressLine& progress) {
  const auto dataset = open_data(options, model.path, loaded.info);
  say_notes(*dataset);
  scan(*dataset, progress);
  if (const std::string missing = missing_text(*dataset, dataset->valid()); !missing.empty())
    std::cerr << fmt::format("note: there is no picture of {} to measure\n", missing);

  try {
    nn::Evaluation evaluation = nn::with_batch_hint(
        options.batch_size, [&] { return run_evaluation(options, loaded, dataset, precision_of(options.precision, device), progress); });
    return {dataset, std::move(evaluation)};
  } catch (const nn::NotFinite& error) {
    throw named(error, *dataset);
  }
}

nn::NotFinite named(const nn::NotFinite& error, const data::Dataset& dataset) {
  std::vector<std::string> names;
  for (const int64_t item : error.pictures) names.push_back(dataset.items()[static_cast<size_t>(item)].path);
  return error.of(std::move(names));
}

nlohmann::ordered_json confusion_rows(const nn::Evaluation& evaluation) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (int64_t row = 0; row < evaluation.classes; ++row)
    rows.push_back(std::vector<int64_t>(evaluation.confusion.begin() + row * evaluation.classes,
                                        evaluation.confusion.begin() + (row + 1) * evaluation.classes));
  return rows;
}

}  // namespace mirilla::apps
