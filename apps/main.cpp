// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>
#include <system_error>

#include "apps/command.h"
#include "apps/failure.h"
#include "apps/signals.h"
#include "apps/usage.h"
#include "data/archive/names.h"
#include "kernels/core/system_reason.h"
#include "kernels/plans/chosen_plans.h"

namespace {

using namespace mirilla;

constexpr int kWrongUsage = 2;

int report(const Error& error, int code) {
  if (std::string_view(error.what()).empty()) return code;
  std::cerr << "mirilla: " << data::printable(error.what()) << '\n';
  return code;
}

// The chosen command; the program itself if there is none.
const CLI::App& chosen(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app : *commands.front();
}

int told(const Error& error, const CLI::App& app, int code) {
  if (!std::string_view(error.what()).empty()) apps::tell(error, chosen(app));
  return code;
}

Error foreign(const std::exception& error);

int run(int argc, char** argv, apps::ExitCodes& codes) {
  CLI::App app("Mirilla: train a ResNet on your photos, and see what it looks at.", "mirilla");
  apps::add_commands(app, codes);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) throw apps::usage_error(app, error);
    app.exit(error);  // --help, --version
  } catch (const UsageError& error) {
    return told(apps::with_help_hint(app, error), app, kWrongUsage);
  } catch (const Interrupted& error) {
    return told(error, app, apps::interrupted_exit_code());
  } catch (const Error& error) {
    return told(error, app, codes.failure);
  } catch (const std::exception& error) {
    return told(foreign(error), app, codes.failure);
  }
  for (const std::string& note : take_plan_notes()) std::cerr << "note: " << note << '\n';
  apps::print("");  // flushes the console's buffered lines
  if (!std::cout) throw Error("cannot write to stdout", "is the disk full, or was it closed?");
  return codes.success;
}

// An exception that is not ours and was not converted where it happened: its own text is never shown, since it is for programmers.
Error foreign(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const std::length_error*>(&error))
    return Error("the host does not have enough memory for this", "use a smaller --batch-size or --size");
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return Error(fmt::format("'{}' cannot be used: {}", files->path1().string(), system_reason(files->code())));
  if (const auto* system = dynamic_cast<const std::system_error*>(&error))
    return Error(fmt::format("the system refused a request of this program: {}", system_reason(system->code())),
                 "try fewer --threads, or close other programs");
  if (dynamic_cast<const nlohmann::json::exception*>(&error))
    return Error("a JSON text, in a file that was read or in the output, is not as expected",
                 "this message should be more precise: please report it with the command and its files");
  return Error("an unknown error occurred", "please report it with the command and its files");
}

// A file opened later would get the descriptor of a standard stream that the caller has closed, and receive its output. A file that can
// be neither read nor written is opened in its place.
void fill_standard_files() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(file, F_GETFD) < 0) static_cast<void>(::open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

}  // namespace

int main(int argc, char** argv) {
  apps::ExitCodes codes;
  try {
    fill_standard_files();
    apps::handle_signals();
    return run(argc, argv, codes);
  } catch (const UsageError& error) {
    return report(error, kWrongUsage);
  } catch (const Interrupted& error) {
    return report(error, apps::interrupted_exit_code());
  } catch (const Error& error) {
    return report(error, codes.failure);
  } catch (const std::exception& error) {
    return report(foreign(error), codes.failure);
  } catch (...) {
    return report(Error("an unknown error occurred", "please report it with the command and its files"), codes.failure);
  }
}
