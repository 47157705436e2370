// SPDX-License-Identifier: MIT
#include "nn/inspect/interpret.h"

#include <algorithm>

#include "apps/evaluation.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "data/draw/confusion_plot.h"
#include "data/write/png_write.h"
#include "kernels/core/atomic_file.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

constexpr size_t kPrintedPairs = 10;
constexpr int64_t kMostTopLosses = 100;  // limits the size of the sheet

struct InterpretOptions {
  CommonOptions common;
  ModelOptions model;
  EvaluationOptions evaluation;
  std::string out;
  int64_t top = 9;
  int64_t min_count = 1;
  std::string layer = "layer4";
  bool normalize = false;
};

// The results of one evaluation.
struct Findings {
  nn::ClassificationReport report;
  std::vector<nn::Confused> confused;
  std::vector<nn::ItemResult> losses;
};

void write_files(const InterpretOptions& options, const nn::LoadedModel& loaded, const Evaluated& evaluated, const Findings& findings,
                 ProgressLine& progress) {
  const fs::path out = options.out;
  const std::vector<std::string>& vocabulary = loaded.info.vocabulary;
  const data::Picture top_losses =  // first: it may fail, and files of two runs must not be mixed
      nn::draw_top_losses(*loaded.model, *evaluated.dataset, findings.losses, loaded.info,
                          {.layer = options.layer, .progress = [&](int64_t done, int64_t total) { progress(done, total); }});
  write_atomically(out / "confusion.csv", nn::confusion_csv(evaluated.evaluation, vocabulary));
  write_atomically(out / "most_confused.csv", nn::to_csv(findings.confused, vocabulary));
  write_atomically(out / "report.csv", nn::to_csv(findings.report, vocabulary));
  write_atomically(out / "top_losses.csv", nn::to_csv(findings.losses, *evaluated.dataset));
  data::write_png(out / "confusion.png",
                  data::draw_confusion({.counts = evaluated.evaluation.confusion, .names = vocabulary, .normalize = options.normalize}));
  data::write_png(out / "top_losses.png", top_losses);
}

std::string to_text(const InterpretOptions& options, const nn::Evaluation& evaluation, const Findings& findings,
                    const std::vector<std::string>& vocabulary) {
  std::string text = fmt::format("{} of {} correct: accuracy {:.4f}, loss {:.4f}\n\n{}\n", evaluation.correct, evaluation.n,
                                 evaluation.accuracy, evaluation.loss, nn::to_text(findings.report, vocabulary));
  text += findings.confused.empty() ? "no class was confused with another" : "most confused (actual, predicted, count):";
  text += '\n';
  const size_t printed = std::min(findings.confused.size(), kPrintedPairs);
  for (const nn::Confused& pair : std::span(findings.confused).first(printed))
    text += fmt::format("  {}, {}, {}\n", vocabulary[static_cast<size_t>(pair.actual)], vocabulary[static_cast<size_t>(pair.predicted)],
                        pair.count);
  if (printed < findings.confused.size()) text += fmt::format("  and {} more pairs\n", findings.confused.size() - printed);
  return text +
         fmt::format("\nin {}: confusion.png, confusion.csv, most_confused.csv, report.csv, top_losses.png, top_losses.csv\n", options.out);
}

nlohmann::ordered_json to_json(const nn::ClassScores& scores) {
  return {{"precision", scores.precision}, {"recall", scores.recall}, {"f1", scores.f1}, {"support", scores.support}};
}

nlohmann::ordered_json to_json(const InterpretOptions& options, const Evaluated& evaluated, const Findings& findings,
                               const std::vector<std::string>& vocabulary) {
  const nn::Evaluation& evaluation = evaluated.evaluation;
  const auto name = [&](int64_t index) { return vocabulary[static_cast<size_t>(index)]; };
  nlohmann::ordered_json classes = nlohmann::ordered_json::object(), confused = nlohmann::ordered_json::array(),
                         losses = nlohmann::ordered_json::array();
  for (size_t c = 0; c < vocabulary.size(); ++c) classes[vocabulary[c]] = to_json(findings.report.classes[c]);
  for (const nn::Confused& pair : findings.confused)
    confused.push_back({{"actual", name(pair.actual)}, {"predicted", name(pair.predicted)}, {"count", pair.count}});
  for (const nn::ItemResult& result : findings.losses)
    losses.push_back({{"path", evaluated.dataset->items()[static_cast<size_t>(result.item)].path},
                      {"actual", name(result.actual)},
                      {"predicted", name(result.predicted)},
                      {"loss", result.loss},
                      {"probability", result.probability}});
  return {{"n", evaluation.n},
          {"correct", evaluation.correct},
          {"accuracy", evaluation.accuracy},
          {"loss", evaluation.loss},
          {"vocab", vocabulary},
          {"confusion", confusion_rows(evaluation)},
          {"classes", classes},
          {"macro_avg", to_json(findings.report.macro)},
          {"weighted_avg", to_json(findings.report.weighted)},
          {"most_confused", confused},
          {"top_losses", losses},
          {"out", options.out}};
}

// Checked before the work, when the folder is created.
void plan_files(const InterpretOptions& options) {
  const EvaluationOptions& evaluation = options.evaluation;
  keep_out_of_classes("--out", options.out, evaluation.data);
  const fs::path out = made_folder(options.out);
  Outputs outputs({options.model.path, evaluation.data, evaluation.split_file});
  for (const auto& [name, head] : std::initializer_list<std::pair<const char*, const char*>>{{"confusion.csv", "actual\\predicted,"},
                                                                                             {"most_confused.csv", "actual,predicted,"},
                                                                                             {"report.csv", "class,precision,"},
                                                                                             {"top_losses.csv", "path,actual,"}})
    outputs.add("--out", out / name, text_file("a table of `mirilla interpret`", head));
  for (const char* name : {"confusion.png", "top_losses.png"}) outputs.add("--out", out / name, png_file());
}

void run(const InterpretOptions& options) {
  Device& device = open(options.common);
  const nn::LoadedModel loaded = load(options.model, device);
  static_cast<void>(loaded.model->resolve(options.layer));  // a wrong name is reported before the work, not after it
  plan_files(options);
  nn::Console console = make_console(options.common);
  ProgressLine progress(console, "evaluating");
  const Evaluated evaluated = evaluate(options.evaluation, options.model, loaded, device, progress);
  const Findings findings{.report = nn::classification_report(evaluated.evaluation),
                          .confused = nn::most_confused(evaluated.evaluation, options.min_count),
                          .losses = nn::top_losses(evaluated.evaluation, options.top)};
  ProgressLine explaining(console, "explaining");
  write_files(options, loaded, evaluated, findings, explaining);
  console.clear_status();
  if (options.common.json) {
    nlohmann::ordered_json document = to_json(options, evaluated, findings, loaded.info.vocabulary);
    add_scan(document, *evaluated.dataset);
    return print_json(document);
  }
  print(to_text(options, evaluated.evaluation, findings, loaded.info.vocabulary));
}

}  // namespace

void add_interpret(CLI::App& app) {
  auto options = std::make_shared<InterpretOptions>();
  CLI::App* command = app.add_subcommand("interpret", "show where a model is wrong, as fastai's ClassificationInterpretation does");
  add_model(*command, options->model);
  add_evaluation(*command, options->evaluation);
  command->add_option("--out", options->out, "the folder for the results: the confusion matrix, the report, the top losses")
      ->required()
      ->type_name("DIR");
  add_number(*command, "--top", options->top, {1, kMostTopLosses}, "number of pictures to show, those with the largest losses")
      ->type_name("K");
  add_number(*command, "--min-count", options->min_count, {1, kPicturesPerClass.most},
             "leave out pairs of classes that were confused less often");
  command->add_option("--layer", options->layer, "the layer of the Grad-CAM maps, such as layer3 or model[0][-2]")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_flag("--normalize", options->normalize, "confusion.png shows shares of each class instead of counts");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
