// SPDX-License-Identifier: MIT
#include "nn/train/lr_find.h"

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/pictures.h"
#include "apps/training.h"
#include "data/write/png_write.h"
#include "nn/train/batch_hint.h"
#include "nn/train/callbacks.h"
#include "nn/train/freeze.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

constexpr Bounds<int> kIterations{6, 100'000};  // fastai requires 6, and the valley rule compares all pairs

struct LrFindCommand : TrainingOptions {
  bool unfrozen = false;
  nn::LrFindOptions finding;
  bool to_the_end = false;
  std::vector<std::string> rules{nn::lr_rules().begin(), nn::lr_rules().end()};
};

bool is_frozen(const LrFindCommand& options) { return !options.weights.empty() && !options.unfrozen; }

nn::LrFindResult find(const LrFindCommand& options, nn::Learner& learner, nn::Console& console) {
  ProgressLine progress(console, "finding");
  nn::LrFindOptions finding = options.finding;
  finding.stop_at_blowup = !options.to_the_end;
  finding.progress = [&](int64_t done, int64_t total, double) { progress(done, total); };
  return nn::with_batch_hint(options.batch_size, [&] { return nn::lr_find(learner, finding); });
}

std::string next_steps(const LrFindCommand& options, const std::string& data, const nn::LrSuggestion& chosen) {
  if (!chosen.lr)
    return "The curve is too short for a suggestion: the loss diverged at once, or was NaN. next: look at lr_find.png, or start with a "
           "smaller --start-lr";
  const std::string weights = options.weights.empty() ? "" : fmt::format(" --weights {}", options.weights);
  return fmt::format("next, with the rate that {} suggests: mirilla train --data {}{} --lr {:.2g}", chosen.rule, data, weights, *chosen.lr);
}

nlohmann::ordered_json to_json(const LrFindCommand& options, const nn::LrFindResult& result,
                               const std::vector<nn::LrSuggestion>& suggestions, const data::Dataset& dataset) {
  nlohmann::ordered_json by_rule = nlohmann::ordered_json::object();
  for (const nn::LrSuggestion& suggestion : suggestions)
    by_rule[suggestion.rule] = suggestion.lr ? nlohmann::ordered_json(*suggestion.lr) : nlohmann::ordered_json();
  nlohmann::ordered_json document{
      {"out", options.out},        {"suggestions", by_rule}, {"frozen", is_frozen(options)}, {"iterations", result.lrs.size()},
      {"blew_up", result.blew_up}, {"lrs", result.lrs},      {"losses", result.losses}};
  add_scan(document, dataset);
  return document;
}

void run(const LrFindCommand& options) {
  Device& device = open(options.common);
  nn::Console console = make_console(options.common);
  const fs::path out =
      results_folder(options, {{"lr_find.csv", text_file("a table of `mirilla lr-find`", "iteration,lr,")}, {"lr_find.png", png_file()}});
  const std::string data = data_path(options, out, console);
  const auto dataset = open_data(options, data, console);
  describe_data(*dataset, data, console);

  nn::ResNet model = make_network(options, *dataset, device);
  import_weights(options, "weights: none given, so the network starts from random numbers, and all groups train", model, console);
  nn::Learner learner = make_learner(options, model, dataset);
  if (is_frozen(options)) {
    nn::freeze(model, learner.optimizer());
    console.line(
        "frozen: only the head and the body's norms train, as in the first phase of `mirilla train`; --unfrozen trains everything");
  }
  console.line(fmt::format("device: {}", device.description()));

  const nn::LrFindResult result = find(options, learner, console);
  const std::vector<nn::LrSuggestion> suggestions = nn::suggest(result, options.finding.iterations, options.rules);
  nn::write_lr_find(result, out / "lr_find.csv");
  data::write_png((out / "lr_find.png").string(), nn::draw_lr_find(result, suggestions));
  if (options.common.json) print_json(to_json(options, result, suggestions, *dataset));
  if (result.blew_up)
    console.line(fmt::format("The loss diverged after {} iterations, at a rate of {:.2g}.", result.lrs.size(), result.lrs.back()));
  console.line(nn::to_string(suggestions));
  console.line(fmt::format("lr_find.png and lr_find.csv are in {}.\n{}", options.out, next_steps(options, data, suggestions.front())));
}

void add_finding_options(CLI::App& command, LrFindCommand& options) {
  command.add_flag("--unfrozen", options.unfrozen, "train all groups, even with --weights");
  add_number(command, "--start-lr", options.finding.start_lr, kRate, "the first rate")->type_name("RATE");
  add_number(command, "--end-lr", options.finding.end_lr, kRate, "the rate at which the search ends")->type_name("RATE");
  add_number(command, "--iterations", options.finding.iterations, kIterations, "total number of batches");
  command.add_flag("--to-the-end", options.to_the_end, "continue when the loss diverges (exceeds 4 times its minimum)");
  command.add_option("--suggest", options.rules, "the rules that suggest a rate; the command to run next uses the first")
      ->delimiter(',')
      ->check(one_of({nn::lr_rules().begin(), nn::lr_rules().end()}))
      ->default_str("valley,slide,minimum,steep")
      ->type_name("NAMES");
  command.add_option("--out", options.out, "the folder for the results: lr_find.png, lr_find.csv")->capture_default_str()->type_name("DIR");
}

}  // namespace

void add_lr_find(CLI::App& app) {
  auto options = std::make_shared<LrFindCommand>();
  CLI::App* command = app.add_subcommand("lr-find", "find a learning rate, as fastai's lr_find does");
  add_data_options(*command, *options);
  add_network_options(*command, *options);
  add_finding_options(*command, *options);
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
