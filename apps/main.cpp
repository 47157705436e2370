// SPDX-License-Identifier: MIT
#include <iostream>
#include <new>

#include "apps/command.h"
#include "apps/failure.h"
#include "data/names.h"
#include "kernels/chosen_plans.h"

namespace {

constexpr int kWrongUsage = 2, kInterrupted = 130;

int report(const mirilla::Error& error, int code) {
  std::cerr << "mirilla: " << mirilla::data::printable(error.what()) << '\n';
  return code;
}

int code_of(const mirilla::Error& error, const mirilla::apps::ExitCodes& codes) {
  if (dynamic_cast<const mirilla::UsageError*>(&error)) return kWrongUsage;
  if (dynamic_cast<const mirilla::Interrupted*>(&error)) return kInterrupted;
  return codes.failure;
}

// The command that was chosen; the program itself where none was.
const CLI::App& chosen(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app : *commands.front();
}

int run(int argc, char** argv, mirilla::apps::ExitCodes& codes) {
  CLI::App app("Mirilla: train a ResNet on your photos, and see what it looks at.", "mirilla");
  app.set_version_flag(
      "--version", [] { return mirilla::apps::version_text(); }, "devices, libraries, versions");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  mirilla::apps::add_show_batch(app);
  mirilla::apps::add_train(app);
  mirilla::apps::add_lr_find(app);
  mirilla::apps::add_predict(app);
  mirilla::apps::add_eval(app);
  mirilla::apps::add_interpret(app);
  mirilla::apps::add_gradcam(app);
  mirilla::apps::add_cam_bench(app);
  mirilla::apps::add_explore(app);
  mirilla::apps::add_serve(app);
  mirilla::apps::add_scenes(app);
  mirilla::apps::add_summary(app);
  mirilla::apps::add_diff(app, codes);
  app.footer("`mirilla COMMAND --help` tells a command's options. Exit code: 0, 1 where it failed, 2 for wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);  // --help, --version
    const std::string command = &chosen(app) == &app ? "" : " " + chosen(app).get_name();
    return report(mirilla::UsageError(error.what(), "`mirilla" + command + " --help` tells what is expected"), kWrongUsage);
  } catch (const mirilla::Error& error) {
    mirilla::apps::tell(error, chosen(app));
    return code_of(error, codes);
  } catch (const std::bad_alloc&) {
    mirilla::apps::tell(mirilla::Error("the host has no memory left for this", "a smaller --batch-size or --size needs less"), chosen(app));
    return codes.failure;
  } catch (const std::exception& error) {
    mirilla::apps::tell(mirilla::Error(error.what()), chosen(app));
    return codes.failure;
  }
  for (const std::string& note : mirilla::take_plan_notes()) std::cerr << "note: " << note << '\n';
  return codes.success;
}

}  // namespace

int main(int argc, char** argv) {
  mirilla::apps::ExitCodes codes;
  try {
    return run(argc, argv, codes);
  } catch (const std::exception& error) {  // of what happens before a command has begun, or once it is through
    return report(mirilla::Error(error.what()), codes.failure);
  }
}
