// SPDX-License-Identifier: MIT
#include <algorithm>

#include "apps/evaluation.h"
#include "apps/pictures.h"
#include "nn/measure/pointing.h"

namespace mirilla::apps {

namespace {

struct EvalOptions {
  CommonOptions common;
  ModelOptions model;
  EvaluationOptions evaluation;
  TtaFlags tta;
  bool pointing = false;
  std::string layer = "layer3";  // layer4 has 3x3 places at 96 px, too few to point with
};

std::string to_text(const nn::Evaluation& evaluation, const std::vector<std::string>& vocabulary) {
  size_t width = 8;
  for (const std::string& name : vocabulary) width = std::max(width, name.size());
  std::string text = fmt::format("{} of {} correct: accuracy {:.4f}, loss {:.4f}\n\nrows: actual class, columns: predicted class\n{:<{}}",
                                 evaluation.correct, evaluation.n, evaluation.accuracy, evaluation.loss, "", width);
  for (const std::string& name : vocabulary) text += fmt::format("  {:>{}}", name, width);
  text += '\n';
  for (int64_t row = 0; row < evaluation.classes; ++row) {
    text += fmt::format("{:<{}}", vocabulary[static_cast<size_t>(row)], width);
    for (int64_t column = 0; column < evaluation.classes; ++column)
      text += fmt::format("  {:>{}}", evaluation.confusion[static_cast<size_t>(row * evaluation.classes + column)], width);
    text += '\n';
  }
  return text;
}

void run(const EvalOptions& options) {
  Device& device = open(options.common);
  const nn::LoadedModel loaded = load(options.model, device);
  nn::Console console = make_console(options.common);
  ProgressLine progress(console, "evaluating");
  EvaluationOptions evaluating = options.evaluation;
  evaluating.tta = tta_of(options.tta, options.common);
  const auto [dataset, evaluation] = evaluate(evaluating, options.model, loaded, device, progress);
  nlohmann::ordered_json document{{"n", evaluation.n},       {"correct", evaluation.correct},   {"accuracy", evaluation.accuracy},
                                  {"loss", evaluation.loss}, {"vocab", loaded.info.vocabulary}, {"confusion", confusion_rows(evaluation)}};
  add_scan(document, *dataset);
  std::string text = to_text(evaluation, loaded.info.vocabulary);
  if (options.pointing) {
    const nn::Pointing pointing = nn::play_pointing(*loaded.model, *dataset, evaluation, loaded.info, loaded.model->resolve(options.layer),
                                                    [&](int64_t at, int64_t total) { progress(at, total); });
    document["pointing"] = {
        {"layer", options.layer}, {"n", pointing.n}, {"hits", pointing.hits}, {"share", pointing.share}, {"random", pointing.random}};
    text += fmt::format(
        "\nGrad-CAM's maximum at {} lies in the evidence for {} of {} correctly classified pictures: {:.1f} % (a random point: "
        "{:.1f} %)\n",
        options.layer, pointing.hits, pointing.n, 100 * pointing.share, 100 * pointing.random);
  }
  console.clear_status();
  options.common.json ? print_json(document) : print(text);
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "measure a model on labelled pictures");
  add_model(*command, options->model);
  add_evaluation(*command, options->evaluation);
  command->add_flag("--pointing", options->pointing,
                    "also measure how often Grad-CAM's maximum lies in the mask of the evidence (the scenes have masks)");
  command->add_option("--layer", options->layer, "the layer of --pointing's maps")->capture_default_str()->type_name("NAME");
  add_tta(*command, options->tta);
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
