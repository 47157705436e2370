// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <thread>

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/pages/web_server.h"

namespace mirilla::apps {

namespace {

struct ServeOptions {
  CommonOptions common;
  ModelOptions model;
  pages::ServeOptions serve;
};

// Requests being computed may finish, for a moment; a browser that keeps its connection open, or sends half a request, is not waited
// for. Nothing is lost: no file is written here.
void end_when_asked(const std::atomic<bool>& stop, const std::stop_token& served) {
  constexpr auto kLook = std::chrono::milliseconds(20), kPatience = std::chrono::milliseconds(700);
  while (!stop && !served.stop_requested()) std::this_thread::sleep_for(kLook);
  for (auto waited = kLook; waited < kPatience && !served.stop_requested(); waited += kLook) std::this_thread::sleep_for(kLook);
  if (!served.stop_requested()) std::_Exit(EXIT_SUCCESS);
}

void run(const ServeOptions& options) {
  if (!pages::can_serve())
    throw Error("this program was built without cpp-httplib, so it cannot serve",
                "install libcpp-httplib-dev (tools/setup does) and build again");
  Device& device = open(options.common);
  nn::LoadedModel loaded = load(options.model, device);
  pages::PhotoService service(loaded, {.device = device});
  const std::atomic<bool>& stop = interrupt_flag();
  SignalsRaiseFlag signals;
  const std::jthread impatient([&stop](const std::stop_token& served) { end_when_asked(stop, served); });
  const auto ready = [&](const std::string& address) {
    if (options.common.json)
      print_json({{"address", address}});
    else
      print(fmt::format("{} shows what the model sees; Ctrl-C ends it\n", address));
  };
  pages::serve(service, options.serve, ready, stop);
  signals.accept();
}

}  // namespace

void add_serve(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "a page in your browser: drop a photo, see the prediction and why");
  add_model(*command, options->model);
  add_number(*command, "--port", options->serve.port, {0, 65535}, "the port to listen on; 0: any free port");
  command->add_option("--host", options->serve.host, "the address to listen on; by default only this machine can connect")
      ->capture_default_str()
      ->type_name("ADDRESS");
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
