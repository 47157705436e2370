// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/signals.h"
#include "engine/amp/precision.h"
#include "nn/files/model_file.h"
#include "nn/run/tta.h"
#include "nn/train/console.h"

/// Shared by the subcommands: common options, and where their output goes.
namespace mirilla::apps {

struct CommonOptions {
  std::string device = "auto";
  int threads = 0;  // 0: one per core
  uint64_t seed = 42;
  bool json = false;
};

/// Adds --device, --threads, --seed and --json.
void add_common(CLI::App& command, CommonOptions& options);

/// Opens the requested device and sets the threads.
Device& open(const CommonOptions& options);

/// Adds --precision; and its meaning on this device.
void add_precision(CLI::App& command, std::string& precision);
amp::Precision precision_of(const std::string& precision, const Device& device);

/// The console for users: stdout, or stderr if stdout is for JSON.
nn::Console make_console(const CommonOptions& options);

/// A document with line breaks, and a newline; bytes that are not UTF-8, for example in a file's name, become U+FFFD.
std::string json_text(const nlohmann::ordered_json& document);
/// Prints one document and a newline. Throws Error if stdout cannot be written to.
void print_json(const nlohmann::ordered_json& document);
/// Whether it was called, so that an error is not printed as a second document.
bool json_printed();
/// The same for plain text.
void print(std::string_view text);

/// The folder for results that --out names, created if it is missing. Throws Error if it cannot be created.
std::filesystem::path made_folder(const std::string& out);

/// MODEL and the options that override its file: --vocab, --resize, --size, --exif-rotate, --allow-nonfinite.
struct ModelOptions {
  std::string path;
  std::vector<std::string> vocabulary;
  std::optional<int> resize, size;
  std::optional<bool> exif_rotate;
  bool allow_nonfinite = false;
  bool quiet = false;  // its notes were printed before
};
void add_model(CLI::App& command, ModelOptions& options);
/// Only the overrides, and --allow-nonfinite.
void add_overrides(CLI::App& command, ModelOptions& options);
/// --allow-nonfinite, for every command that reads weights.
void add_allow_nonfinite(CLI::App& command, bool& allow);
/// The class given by --class: its name or its number; empty for "". Throws UsageError for any other, naming `option`.
std::optional<int> class_index(const std::string& wanted, const std::vector<std::string>& vocabulary, std::string_view option = "--class");
/// Loads the model, and prints its notes to stderr.
nn::LoadedModel load(const ModelOptions& options, Device& device, DType dtype = DType::f32);

/// Test-time augmentation: --tta, --tta-n, --tta-beta, --tta-max.
struct TtaFlags {
  bool on = false;
  nn::TtaOptions options;
};
void add_tta(CLI::App& command, TtaFlags& flags);
/// Empty without --tta.
std::optional<nn::TtaOptions> tta_of(const TtaFlags& flags, const CommonOptions& common);

/// Shows progress on the console if it is a terminal; otherwise prints a line every ten seconds.
class ProgressLine {
 public:
  ProgressLine(nn::Console& console, std::string what) : console_(console), what_(std::move(what)) {}
  ~ProgressLine() { console_.clear_status(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  /// Throws Interrupted after a signal.
  void operator()(int64_t done, int64_t total);

 private:
  SignalsRaiseFlag signals_;
  nn::Console& console_;
  std::string what_;
  double start_s_ = -1;
  double said_s_ = 0;
};

/// The exit codes of the program. A command whose answer is also an exit code sets it here.
struct ExitCodes {
  int success = 0;
  int failure = 1;
};

/// Adds all commands of the program, and its own options.
void add_commands(CLI::App& app, ExitCodes& codes);

// One per file; each adds its subcommand, whose callback does the work.
void add_show_batch(CLI::App& app);
void add_train(CLI::App& app);
void add_predict(CLI::App& app);
void add_eval(CLI::App& app);
void add_interpret(CLI::App& app);
void add_gradcam(CLI::App& app);
void add_cam_bench(CLI::App& app);
void add_lr_find(CLI::App& app);
void add_scenes(CLI::App& app);
void add_explore(CLI::App& app);
void add_serve(CLI::App& app);
void add_summary(CLI::App& app);
void add_cost(CLI::App& app);
void add_diff(CLI::App& app, ExitCodes& codes);
void add_weights(CLI::App& app, ExitCodes& codes);

/// Devices, libraries, versions.
std::string version_text();

}  // namespace mirilla::apps
