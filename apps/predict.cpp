// SPDX-License-Identifier: MIT
#include "nn/run/predict.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <numeric>

#include "apps/command.h"
#include "apps/failure.h"
#include "apps/numbers.h"
#include "apps/pictures.h"
#include "data/items.h"
#include "data/write/csv.h"

namespace mirilla::apps {

namespace {

struct PredictCommand {
  CommonOptions common;
  ModelOptions model;
  std::vector<std::string> pictures;
  int top_k = 3;
  bool csv = false;
  std::string precision;
  TtaFlags tta;
};

std::vector<size_t> likeliest_first(const std::vector<float>& probabilities) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  return order;
}

nlohmann::ordered_json to_json(const nn::Prediction& prediction, const nn::ModelInfo& info) {
  nlohmann::ordered_json probabilities = nlohmann::ordered_json::object();
  for (size_t c = 0; c < info.vocabulary.size(); ++c) probabilities[info.vocabulary[c]] = prediction.probabilities[c];
  nlohmann::ordered_json one = {{"file", prediction.file},
                                {"label", info.vocabulary[static_cast<size_t>(prediction.index)]},
                                {"index", prediction.index},
                                {"probabilities", probabilities}};
  add_orientation(one, prediction.orientation, info);
  return one;
}

nlohmann::ordered_json to_json(const nn::Unanswered& unanswered) {
  nlohmann::ordered_json line{{"file", unanswered.file}};
  line.update(error_json(unanswered.why, unanswered.why.hint()));
  return line;
}

// An entry for each requested picture, in that order; with the reason for those that could not be read or have no answer.
nlohmann::ordered_json to_json(const nn::Predictions& predictions, const nn::ModelInfo& info) {
  std::map<size_t, nlohmann::ordered_json> by_place;
  for (const nn::Prediction& one : predictions.pictures) by_place[one.place] = to_json(one, info);
  for (const nn::BadFile& one : predictions.bad) by_place[one.place] = skipped_json(one.file, one.reason);
  for (const nn::Unanswered& one : predictions.unanswered) by_place[one.place] = to_json(one);
  nlohmann::ordered_json document = nlohmann::ordered_json::array();
  for (auto& [place, entry] : by_place) document.push_back(std::move(entry));
  return document;
}

std::string to_csv(const std::vector<nn::Prediction>& predictions, const std::vector<std::string>& vocabulary) {
  std::string text = "file,label,index";
  for (const std::string& name : vocabulary) text += "," + data::csv_field(name);
  text += '\n';
  for (const nn::Prediction& p : predictions) {
    text += fmt::format("{},{},{}", data::csv_field(p.file), data::csv_field(vocabulary[static_cast<size_t>(p.index)]), p.index);
    for (const float probability : p.probabilities) text += fmt::format(",{:.6f}", probability);
    text += '\n';
  }
  return text;
}

std::string to_text(const std::vector<nn::Prediction>& predictions, const std::vector<std::string>& vocabulary, int top_k) {
  std::string text;
  for (const nn::Prediction& p : predictions) {
    text += p.file + ":";
    const std::vector<size_t> order = likeliest_first(p.probabilities);
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(top_k)); ++i)
      text += fmt::format("{} {} {:.1f} %", i == 0 ? "" : ",", vocabulary[order[i]], 100 * p.probabilities[order[i]]);
    text += '\n';
  }
  return text;
}

// After the answers: names the pictures that have none.
void require_answers(const nn::Predictions& predictions) {
  const std::vector<nn::Unanswered>& unanswered = predictions.unanswered;
  if (unanswered.empty()) return;
  if (unanswered.size() == 1) throw unanswered[0].why;
  for (const nn::Unanswered& one : unanswered) std::cerr << fmt::format("no prediction for {}\n", one.why.message());
  throw nn::NotFinite(fmt::format("the logits of {} of {} pictures", unanswered.size(), unanswered.size() + predictions.pictures.size()),
                      unanswered[0].why.cause);
}

void run(const PredictCommand& options) {
  if (options.csv && options.common.json) throw UsageError("--csv and --json cannot be used together", "give one of them");
  Device& device = open(options.common);
  const auto [files, notes] = data::picture_files(options.pictures);
  nn::LoadedModel loaded = load(options.model, device);
  nn::Console console(std::cerr, false);
  ProgressLine progress(console, "predicting");
  const nn::Predictions predictions = nn::predict_files(*loaded.model, files, loaded.info,
                                                        {.precision = precision_of(options.precision, device),
                                                         .progress = [&](int64_t done, int64_t total) { progress(done, total); },
                                                         .tta = tta_of(options.tta, options.common)});
  for (const std::string& note : notes) std::cerr << note << '\n';
  const std::vector<std::string>& vocabulary = loaded.info.vocabulary;
  const auto is_turned = [](const nn::Prediction& prediction) { return prediction.orientation != 1; };
  say_turned(std::count_if(predictions.pictures.begin(), predictions.pictures.end(), is_turned), loaded.info.exif_rotate);
  if (options.common.json) {
    print_json(to_json(predictions, loaded.info));
  } else if (!predictions.pictures.empty()) {
    print(options.csv ? to_csv(predictions.pictures, vocabulary) : to_text(predictions.pictures, vocabulary, options.top_k));
  }
  const auto unused = unused_error(predictions.bad, files.size());
  require_answers(predictions);
  if (unused) throw *unused;
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<PredictCommand>();
  CLI::App* command = app.add_subcommand("predict", "predict the classes of pictures");
  add_model(*command, options->model);
  command->add_option("PICTURE", options->pictures, "pictures, or folders of them")->required();
  add_number(*command, "--top-k", options->top_k, {1, 1'000'000}, "number of classes to print")->type_name("K");
  command->add_flag("--csv", options->csv, "print CSV, one line per picture: file, label, index, each class's probability");
  add_tta(*command, options->tta);
  add_precision(*command, options->precision);
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
