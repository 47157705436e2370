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

/// What the subcommands share: options that all of them take, where their lines go.
namespace mirilla::apps {

struct CommonOptions {
  std::string device = "auto";
  int threads = 0;  // 0: one a core
  uint64_t seed = 42;
  bool json = false;
};

/// Adds --device, --threads, --seed and --json.
void add_common(CLI::App& command, CommonOptions& options);

/// Opens the device that was asked for and sets the threads.
Device& open(const CommonOptions& options);

/// Adds --precision; what it says on this device.
void add_precision(CLI::App& command, std::string& precision);
amp::Precision precision_of(const std::string& precision, const Device& device);

/// People's lines: stdout, or stderr where stdout is for JSON.
nn::Console make_console(const CommonOptions& options);

/// A document in lines, and a newline; bytes that are not UTF-8, of a file's name say, stand in it as U+FFFD.
std::string json_text(const nlohmann::ordered_json& document);
/// One document, a newline. Throws Error where stdout cannot be written to.
void print_json(const nlohmann::ordered_json& document);
/// Whether that was called, so that an error is not told in a second document.
bool json_printed();
/// The same for plain text.
void print(std::string_view text);

/// The folder for results that --out names, made where it is missing. Throws Error where it cannot be.
std::filesystem::path made_folder(const std::string& out);

/// MODEL and what may be said over what its file says: --vocab, --resize, --size, --exif-rotate, --allow-nonfinite.
struct ModelOptions {
  std::string path;
  std::vector<std::string> vocabulary;
  std::optional<int> resize, size;
  std::optional<bool> exif_rotate;
  bool allow_nonfinite = false;
  bool quiet = false;  // its notes were told before
};
void add_model(CLI::App& command, ModelOptions& options);
/// The three alone, and --allow-nonfinite.
void add_overrides(CLI::App& command, ModelOptions& options);
/// --allow-nonfinite, of every command that reads weights.
void add_allow_nonfinite(CLI::App& command, bool& allow);
/// What --class says: a class's name, or its number; none for "". Throws UsageError for another, naming `option`.
std::optional<int> class_index(const std::string& wanted, const std::vector<std::string>& vocabulary, std::string_view option = "--class");
/// Loads it, and prints its notes to stderr.
nn::LoadedModel load(const ModelOptions& options, Device& device, DType dtype = DType::f32);

/// Test-time augmentation: --tta, --tta-n, --tta-beta, --tta-max.
struct TtaFlags {
  bool on = false;
  nn::TtaOptions options;
};
void add_tta(CLI::App& command, TtaFlags& flags);
/// Nothing where --tta was not said.
std::optional<nn::TtaOptions> tta_of(const TtaFlags& flags, const CommonOptions& common);

/// Says on the console how far something came, where it is a terminal; a line every ten seconds where it is not.
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

/// What the program ends with. A command whose answer is an exit code too says so here.
struct ExitCodes {
  int success = 0;
  int failure = 1;
};

/// All of the program's commands, and what it says of itself.
void add_commands(CLI::App& app, ExitCodes& codes);

// One a file; each adds its subcommand, whose callback does the work.
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
void add_diff(CLI::App& app, ExitCodes& codes);

/// Devices, libraries, versions.
std::string version_text();

}  // namespace mirilla::apps
