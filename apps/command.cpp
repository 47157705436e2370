// SPDX-License-Identifier: MIT
#include "apps/command.h"

#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <utility>

#include "apps/flags.h"
#include "apps/numbers.h"
#include "apps/openmp_start.h"
#include "apps/pictures.h"
#include "data/archive/names.h"
#include "data/items.h"
#include "kernels/core/device.h"
#include "kernels/core/system_reason.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"

namespace mirilla::apps {

namespace {

bool document_printed = false;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int terminal_columns(int file) {
  winsize size{};
  return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Reports, once, environment variables that change the number of threads, or that are invalid.
void tell_of_threads(const CommonOptions& options) {
  static bool told = false;
  if (std::exchange(told, true)) return;
  for (const std::string& setting : unfollowed_variables())
    std::cerr << fmt::format("note: {} is ignored: its value is not valid\n", setting);
  const std::string note = options.threads == 0 ? host_threads_note() : std::string();
  if (!note.empty()) std::cerr << "note: " << note << '\n';
}

}  // namespace

void add_commands(CLI::App& app, ExitCodes& codes) {
  app.set_version_flag(
      "--version", [] { return version_text(); }, "devices, libraries, versions");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  add_show_batch(app);
  add_train(app);
  add_lr_find(app);
  add_predict(app);
  add_eval(app);
  add_interpret(app);
  add_gradcam(app);
  add_cam_bench(app);
  add_explore(app);
  add_serve(app);
  add_scenes(app);
  add_summary(app);
  add_cost(app);
  add_diff(app, codes);
  add_weights(app, codes);
  app.footer(
      "`mirilla COMMAND --help` lists a command's options. Exit code: 0, 1 for an error, 2 for wrong usage, 128 + the signal's number "
      "if a signal ended it (130 for Ctrl-C).");
}

void add_common(CLI::App& command, CommonOptions& options) {
  command
      .add_option("--device", options.device,
                  "auto, cuda (the second GPU is cuda:1), cpu, simt (the GPU's kernels on the host, slow) or reference (plain loops, slow)")
      ->capture_default_str()
      ->type_name("NAME");
  add_number(command, "--threads", options.threads, {0, most_host_threads()}, "threads on the host; 0: one per core");
  add_number(command, "--seed", options.seed, kSeed, "the seed of all random numbers");
  command.add_flag("--json", options.json, "one JSON document on stdout, everything else on stderr");
}

Device& open(const CommonOptions& options) {
  set_host_threads(options.threads);
  Device& device = open_device(options.device);
  if (device.host_addressable()) on_host_team([](int) {});  // if its threads cannot run, the error comes now and not after the pictures
  tell_of_threads(options);
  return device;
}

void add_precision(CLI::App& command, std::string& precision) {
  command.add_option("--precision", precision, "the network computes in fp32, fp16 or bf16; default: fp16 on a GPU, fp32 elsewhere")
      ->check(one_of({"fp32", "fp16", "bf16"}))
      ->type_name("NAME");
}

amp::Precision precision_of(const std::string& precision, const Device& device) {
  for (const amp::Precision known : {amp::Precision::fp32, amp::Precision::fp16, amp::Precision::bf16})
    if (precision == amp::name_of(known)) return known;
  return amp::usual_precision(device);
}

nn::Console make_console(const CommonOptions& options) {
  const int file = options.json ? STDERR_FILENO : STDOUT_FILENO;
  return {options.json ? std::cerr : std::cout, isatty(file) == 1, terminal_columns(file)};
}

void print(std::string_view raw) {
  const std::string text = data::printable(raw);
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error(fmt::format("cannot write to stdout: {}", system_reason(errno)));
}

std::string json_text(const nlohmann::ordered_json& document) {
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void print_json(const nlohmann::ordered_json& document) {
  document_printed = true;
  print(json_text(document));
}

bool json_printed() { return document_printed; }

std::filesystem::path made_folder(const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error || !std::filesystem::is_directory(out, error))
    throw Error(
        fmt::format("{}: the folder for the results cannot be created: {}", out, error ? system_reason(error) : "a file has this name"),
        "choose another place with --out");
  return out;
}

void add_model(CLI::App& command, ModelOptions& options) {
  command.add_option("MODEL", options.path, "a model.safetensors of `mirilla train`, or a .pth of torchvision or fastai")->required();
  add_overrides(command, options);
}

void add_overrides(CLI::App& command, ModelOptions& options) {
  command.add_option("--vocab", options.vocabulary, "the names of the classes, a,b,c, if the file has none")
      ->delimiter(',')
      ->type_name("NAMES");
  add_number(command, "--resize", options.resize, kResizePixels, "crop and resize pictures to this first, in pixels")->type_name("PX");
  add_number(command, "--size", options.size, kSizePixels, "what the network sees, in pixels")->type_name("PX");
  command.add_flag_function(
      "--exif-rotate,!--no-exif-rotate", [&options](int64_t times) { options.exif_rotate = times > 0; },
      "turn photos upright as their EXIF says, or not; default: as in the model's training");
  add_allow_nonfinite(command, options.allow_nonfinite);
}

void add_allow_nonfinite(CLI::App& command, bool& allow) {
  command.add_flag("--allow-nonfinite", allow, "accept weights that are NaN or infinite, and negative variances, with a warning");
}

std::optional<int> class_index(const std::string& wanted, const std::vector<std::string>& vocabulary, std::string_view option) {
  if (wanted.empty()) return std::nullopt;
  for (const std::string& name : {wanted, data::shown(wanted)})
    if (const int64_t index = data::index_in(vocabulary, name); index >= 0) return static_cast<int>(index);
  int index = -1;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), index);
  if (error == std::errc() && end == wanted.data() + wanted.size() && index >= 0 && index < static_cast<int>(vocabulary.size()))
    return index;
  throw UsageError(fmt::format("{}: expected a class name or a number from 0 to {}, got '{}'", option, vocabulary.size() - 1, wanted),
                   fmt::format("the classes are {}", fmt::join(vocabulary, ", ")));
}

nn::LoadedModel load(const ModelOptions& options, Device& device, DType dtype) {
  nn::ModelOverrides overrides{.vocabulary = std::nullopt,
                               .resize = options.resize,
                               .size = options.size,
                               .exif_rotate = options.exif_rotate,
                               .allow_nonfinite = options.allow_nonfinite};
  if (!options.vocabulary.empty()) overrides.vocabulary = options.vocabulary;
  nn::LoadedModel loaded = nn::load_model(options.path, overrides, {.device = device, .dtype = dtype});
  if (!options.quiet)
    for (const std::string& note : loaded.notes) std::cerr << with_flags(note) << '\n';
  return loaded;
}

void add_tta(CLI::App& command, TtaFlags& flags) {
  CLI::Option* on = command.add_flag("--tta", flags.on, "test-time augmentation: average several passes with the augmentation of training");
  add_number(command, "--tta-n", flags.options.n, {1, 10'000}, "number of augmented passes")->needs(on);
  add_number(command, "--tta-beta", flags.options.beta, {0, 1}, "weight of the pass without augmentation in the average")
      ->needs(on)
      ->type_name("SHARE");
  command.add_flag("--tta-max", flags.options.use_max, "take each class's largest probability instead of the average")->needs(on);
}

std::optional<nn::TtaOptions> tta_of(const TtaFlags& flags, const CommonOptions& common) {
  if (!flags.on) return std::nullopt;
  nn::TtaOptions options = flags.options;
  options.seed = common.seed;
  return options;
}

void ProgressLine::operator()(int64_t done, int64_t total) {
  if (interrupt_flag().load()) throw Interrupted("interrupted");
  constexpr double kFirstWord_s = 1, kBetweenLines_s = 10;
  if (start_s_ < 0) start_s_ = said_s_ = now_s();
  if (now_s() - start_s_ < kFirstWord_s) return;
  const std::string text = fmt::format("{}: {} of {}", what_, done, total);
  if (console_.terminal()) return console_.status(text);
  if (now_s() - said_s_ < kBetweenLines_s) return;
  said_s_ = now_s();
  std::cerr << text << '\n';
}

}  // namespace mirilla::apps
