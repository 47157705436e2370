// SPDX-License-Identifier: MIT
#include "nn/measure/cam_bench.h"

#include <algorithm>

#include "apps/cam_bench_print.h"
#include "apps/evaluation.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "kernels/core/atomic_file.h"

namespace mirilla::apps {

namespace {

constexpr const char* kAll = "all";

struct CamBenchCommand {
  CommonOptions common;
  ModelOptions model;
  EvaluationOptions evaluation;
  nn::CamBenchOptions bench;
  std::vector<std::string> methods{kAll}, measures{kAll};
  int64_t limit = 10;
  std::string out;
};

bool is_csv(const CamBenchCommand& options) { return options.out.ends_with(".csv"); }

std::vector<std::string> chosen(const std::vector<std::string>& asked, std::span<const std::string> all) {
  if (std::find(asked.begin(), asked.end(), kAll) != asked.end()) return {all.begin(), all.end()};
  return asked;
}

// If all measures were requested, those that need masks are left out for data without masks.
void leave_out_masks(CamBenchCommand& options, const std::vector<nn::BenchSubject>& subjects) {
  if (std::find(options.measures.begin(), options.measures.end(), kAll) == options.measures.end()) return;
  if (std::any_of(subjects.begin(), subjects.end(), [](const nn::BenchSubject& subject) { return subject.mask.has_value(); })) return;
  std::erase_if(options.bench.measures, [](const std::string& measure) { return nn::needs_mask(measure); });
}

void run(CamBenchCommand& options) {
  Device& device = open(options.common);
  if (!options.out.empty())
    Outputs({options.model.path, options.evaluation.data})
        .add("--out", options.out,
             is_csv(options) ? text_file("a table of cam-bench", "method,") : text_file("a table of cam-bench", "| method |"));
  const nn::LoadedModel loaded = load(options.model, device);
  nn::CamBenchOptions& bench = options.bench;
  bench.methods = chosen(options.methods, nn::explanation_methods());
  bench.measures = chosen(options.measures, nn::cam_measures());
  bench.seed = options.common.seed;
  bench.batch_size = options.evaluation.batch_size;
  nn::check_names(*loaded.model, bench);  // a wrong name is reported before the work, not after it

  nn::Console console = make_console(options.common);
  ProgressLine evaluating(console, "evaluating");
  options.evaluation.limit = options.limit;
  const Evaluated evaluated = evaluate(options.evaluation, options.model, loaded, device, evaluating);
  const auto subjects = nn::bench_subjects(*loaded.model, *evaluated.dataset, evaluated.evaluation, loaded.info);
  leave_out_masks(options, subjects);

  std::string at;
  std::optional<ProgressLine> line;
  bench.progress = [&](const std::string& what, int64_t done, int64_t total) {
    if (what != at) line.emplace(console, at = what);
    (*line)(done, total);
  };
  const nn::CamBench result = nn::cam_bench(*loaded.model, subjects, bench);
  line.reset();
  const BenchReport report{.options = bench, .evaluation = evaluated.evaluation, .bench = result};
  if (!options.out.empty()) write_atomically(options.out, is_csv(options) ? to_csv(report) : to_markdown(report));
  if (!options.common.json) return print(to_text(report));
  nlohmann::ordered_json document = to_json(report);
  add_scan(document, *evaluated.dataset);
  print_json(document);
}

void add_bench_options(CLI::App& command, CamBenchCommand& options) {
  nn::CamBenchOptions& bench = options.bench;
  command.add_option("--methods", options.methods, "a,b,c: methods as in `gradcam --method`, or all")
      ->delimiter(',')
      ->default_str(kAll)
      ->type_name("NAMES");
  command
      .add_option("--measures", options.measures,
                  "a,b,c: some of pointing, energy, insertion, deletion, drop, increase, road, sensitivity and randomisation, or all")
      ->delimiter(',')
      ->default_str(kAll)
      ->type_name("NAMES");
  command.add_option("--layer", bench.layer, "the layer of the class activation maps, such as layer3 or model[0][-2]")
      ->capture_default_str()
      ->type_name("NAME");
  add_number(command, "--limit", options.limit, kPicturesPerClass, "the first N pictures of each class; 0: all");
  add_number(command, "--again", bench.explained_again, {1, 100'000},
             "pictures of each class for sensitivity and randomisation, which explain a picture many times");
  add_number(command, "--steps", bench.steps, {1, 10'000}, "steps of the insertion and deletion curves");
  add_number(command, "--perturbations", bench.perturbations, {1, 10'000}, "slightly changed pictures that sensitivity tries");
  add_number(command, "--radius", bench.radius, {0, 10}, "how much these differ: the largest change of a normalised value")->type_name("R");
  add_number(command, "--samples", bench.samples, kSamples, "steps of integrated (default 50), noisy pictures of smoothgrad (default 25)")
      ->default_str("");
  add_max_bad(command, options.evaluation.max_bad);
  add_number(command, "--batch-size", options.evaluation.batch_size, kBatch, "pictures per batch");
}

}  // namespace

void add_cam_bench(CLI::App& app) {
  auto options = std::make_shared<CamBenchCommand>();
  CLI::App* command = app.add_subcommand("cam-bench", "measure which explanation method describes a model best");
  add_model(*command, options->model);
  command->add_option("--data", options->evaluation.data, "a zip or folder of <class>/<picture>; its test/ part if it has one")
      ->required()
      ->type_name("ZIP|DIR");
  add_bench_options(*command, *options);
  command->add_option("--out", options->out, "also write the table: all numbers if FILE ends in .csv, otherwise Markdown")
      ->type_name("FILE");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
