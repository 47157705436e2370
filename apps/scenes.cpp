// SPDX-License-Identifier: MIT
#include "data/scenes/scenes.h"

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/outputs.h"

namespace mirilla::apps {

namespace {

struct ScenesOptions {
  CommonOptions common;
  std::string out;
  int per_class = data::ScenesOptions().per_class;
  int size = data::ScenesOptions().size;
};

void run(const ScenesOptions& options) {
  Outputs({}).add("--out", options.out, scenes_file());
  const data::ScenesReport report = data::write_scenes(
      options.out, {.per_class = options.per_class, .size = options.size, .seed = options.common.seed, .threads = options.common.threads});
  if (options.common.json) {
    print_json({{"file", options.out},
                {"classes", data::kSceneClasses},
                {"train", report.train},
                {"test", report.test},
                {"size", options.size},
                {"seed", options.common.seed},
                {"mask_share", report.mask_share},
                {"bytes", report.bytes}});
    return;
  }
  print(
      fmt::format("{}: {} training and {} test pictures of 6 classes, {} px; the evidence covers {:.1f} % of a picture\n"
                  "next: mirilla train --data {}\n",
                  options.out, report.train, report.test, options.size, 100 * report.mask_share, options.out));
}

}  // namespace

void add_scenes(CLI::App& app) {
  auto options = std::make_shared<ScenesOptions>();
  CLI::App* command =
      app.add_subcommand("scenes", "draw the procedural data set: six classes, with a mask of the evidence for each picture");
  command->add_option("--out", options->out, "the zip to write")->required()->type_name("FILE.zip");
  add_number(*command, "--per-class", options->per_class, {1, 1'000'000}, "training pictures per class; the test part has a fifth as many");
  add_number(*command, "--size", options->size, {16, 4096}, "width and height in pixels")->type_name("PX");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
