// SPDX-License-Identifier: MIT
#include "apps/command.h"
#include "nn/web_server.h"

namespace mirilla::apps {

namespace {

struct Options {
  CommonOptions common;
  ModelOptions model;
  nn::ServeOptions serve;
};

void run(const Options& options) {
  if (!nn::can_serve())
    throw Error("this program was built without cpp-httplib, so it cannot serve",
                "install libcpp-httplib-dev (tools/setup does) and build again");
  Device& device = open(options.common);
  nn::LoadedModel loaded = load(options.model, device);
  nn::PhotoService service(loaded, {.device = device});
  const std::atomic<bool>& stop = interrupt_flag();
  const auto ready = [&](const std::string& address) {
    if (options.common.json)
      print_json({{"address", address}});
    else
      print(fmt::format("{} shows what the model sees; Ctrl-C ends it\n", address));
  };
  nn::serve(service, options.serve, ready, stop);
}

}  // namespace

void add_serve(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", "a page in your browser: drop a photo, see the prediction and why");
  add_model(*command, options->model);
  command->add_option("--port", options->serve.port, "where to listen; 0: any port that is free")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535).description(""))
      ->type_name("N");
  command->add_option("--host", options->serve.host, "the address to listen at: this machine alone, unless another is given")
      ->capture_default_str()
      ->type_name("ADDRESS");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
