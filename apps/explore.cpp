// SPDX-License-Identifier: MIT
#include "apps/pages/explore.h"

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "data/archive/names.h"
#include "data/pictures/decode.h"
#include "kernels/core/atomic_file.h"
#include "nn/run/finite.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

struct ExploreOptions {
  CommonOptions common;
  ModelOptions model;
  std::string picture;
  std::string target;
  int64_t most_classes = 10;
  std::string out;
};

void run(const ExploreOptions& options) {
  Device& device = open(options.common);
  const fs::path file(options.picture);
  const std::string out = options.out.empty() ? file.stem().string() + ".html" : options.out;
  Outputs({options.picture, options.model.path}).add("--out", out, page_file());
  nn::LoadedModel loaded = load(options.model, device);
  const auto [picture, orientation] = data::load_file(options.picture, {.exif_rotate = loaded.info.exif_rotate});
  say_turned(orientation != 1 ? 1 : 0, loaded.info.exif_rotate);
  nn::Console console = make_console(options.common);
  std::string document;
  {
    ProgressLine line(console, "classes");
    pages::ExploreOptions explore{.target = class_index(options.target, loaded.info.vocabulary), .most_classes = options.most_classes};
    explore.progress = [&line](int64_t done, int64_t total) { line(done, total); };
    document = nn::of_picture_named(options.picture, [&] {
      return pages::explore_document(*loaded.model, picture, loaded.info, data::shown(file.filename().string()), explore,
                                     {.device = device});
    });
  }
  const std::string page = pages::explore_page(document);
  write_atomically(out, page);
  constexpr double kMegabyte = 1e6;
  if (options.common.json) {
    const auto told = nlohmann::ordered_json::parse(document);
    nlohmann::ordered_json answer{{"file", data::shown(options.picture)},
                                  {"out", out},
                                  {"bytes", page.size()},
                                  {"classes", told["classes"]},
                                  {"modules", told["modules"].size()},
                                  {"captures", told["captures"].size()}};
    add_orientation(answer, orientation, loaded.info);
    print_json(answer);
  } else {
    console.line(
        fmt::format("{}: {:.1f} MB, complete in one file: open it in a browser", out, static_cast<double>(page.size()) / kMegabyte));
  }
}

}  // namespace

void add_explore(CLI::App& app) {
  auto options = std::make_shared<ExploreOptions>();
  CLI::App* command = app.add_subcommand("explore", "write a page that shows what every module of a network computes for a picture");
  add_model(*command, options->model);
  command->add_option("PICTURE", options->picture, "a picture")->required();
  command->add_option("--class", options->target, "the class whose gradients are shown; default: the most likely")->type_name("NAME|INDEX");
  add_number(*command, "--classes", options->most_classes, {1, 20}, "number of classes with Grad-CAM maps, the most likely first");
  command->add_option("--out", options->out, "the page to write, one file that works offline; default: <name>.html")->type_name("HTML");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
