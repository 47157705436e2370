// SPDX-License-Identifier: MIT
#include "nn/inspect/diff.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <iostream>

#include "apps/command.h"
#include "apps/diff_print.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "apps/pictures.h"
#include "data/pictures/decode.h"
#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "nn/run/predict.h"
#include "weights/read.h"

namespace mirilla::apps {

namespace {

constexpr Bounds<double> kTolerance{0, 1e30, "a number from 0 on"};
constexpr int kParted = 1, kTrouble = 2;  // as diff and cmp

struct SideOptions {
  std::string path;
  std::string device;     // empty: --device
  std::string precision;  // empty: --precision
};

struct DiffOptions {
  CommonOptions common;
  ModelOptions model;  // applies to both files
  std::string precision = "fp32";
  SideOptions a, b;
  std::vector<std::string> pictures;
  std::string target;
  bool train = false, no_dropout = false, loss = false, parameters = false;
  std::optional<double> tolerance;
  std::string dump;
  bool csv = false, all = false;
};

std::string about(const nn::Trace& trace, const std::string& key) {
  const auto found = trace.about.find(key);
  return found == trace.about.end() ? "" : found->second;
}

// A model to run, or the trace of one that ran elsewhere.
struct Side {
  std::string path;
  Device* device = nullptr;
  std::string precision;
  nn::LoadedModel loaded;  // no model if the file is a trace
  nn::Trace trace;

  bool runs() const { return loaded.model != nullptr; }
  // A precision that Autocast accepts; a model in f64 stays in f64 under fp32.
  amp::Precision compute() const { return precision == "fp64" ? amp::Precision::fp32 : precision_of(precision, *device); }
  std::string text() const {
    return runs() ? fmt::format("{}, {} on {} in {}", path, loaded.model->spec().arch, device->name(), precision)
                  : fmt::format("{}, made elsewhere", path);
  }
};

Side open_side(const DiffOptions& options, const SideOptions& wanted) {
  Side side{.path = wanted.path, .precision = wanted.precision.empty() ? options.precision : wanted.precision, .loaded = {}, .trace = {}};
  CommonOptions common = options.common;
  if (!wanted.device.empty()) common.device = wanted.device;
  const weights::StateDict state = weights::read_weights(wanted.path);
  if (nn::is_trace(state)) {
    side.trace = nn::to_trace(state, wanted.path, open_device("reference"));  // which supports every dtype
    return side;
  }
  side.device = &open(common);
  if (side.precision == "fp64" && side.device->name() != "reference")
    throw UsageError(fmt::format("fp64 runs only on the reference device, and {} would run on {}", wanted.path, side.device->name()),
                     "--device-a or --device-b reference");
  ModelOptions model = options.model;
  model.path = wanted.path;
  model.quiet = &wanted == &options.b && wanted.path == options.a.path;
  side.loaded = load(model, *side.device, side.precision == "fp64" ? DType::f64 : DType::f32);
  return side;
}

// Both sides see the same pictures at the same size: A's, unless only B is a model. Each model normalises them in its own way.
void agree_on_size(Side& a, Side& b, std::vector<std::string>& head) {
  if (!a.runs() || !b.runs()) return;
  nn::ModelInfo &ours = a.loaded.info, &theirs = b.loaded.info;
  if (ours.exif_rotate != theirs.exif_rotate)
    head.push_back(fmt::format("B expects photos {}, but A's input has them {}",
                               theirs.exif_rotate ? "turned upright" : "as they are stored",
                               ours.exif_rotate ? "turned upright" : "as they are stored"));
  if (ours.size == theirs.size && ours.resize == theirs.resize) return;
  head.push_back(fmt::format("B expects pictures resized to {} and cropped to {} px, but A's are {} and {}", theirs.resize, theirs.size,
                             ours.resize, ours.size));
  theirs.size = ours.size;
  theirs.resize = ours.resize;
}

// The named pictures, or those in a trace.
Tensor input_of(const Side& side, const Side& other, const std::vector<data::Picture>& pictures) {
  const nn::Placement placement = nn::input_placement(*side.loaded.model, side.compute());
  if (!pictures.empty()) return nn::prepare(pictures, side.loaded.info, placement);
  for (const nn::Traced& traced : other.trace.modules)
    if (traced.name == "input") return traced.value.to(DType::f32).to(*side.device).to(placement.dtype);
  throw UsageError(fmt::format("{} contains no input, so give a picture", other.path),
                   "a trace of `mirilla diff --dump` contains activation/input");
}

std::vector<data::Picture> load_pictures(const DiffOptions& options, const Side& a, const Side& b) {
  if (options.pictures.empty() && a.runs() && b.runs()) throw UsageError("expected a picture to run through both models, got none");
  if (!options.pictures.empty() && !a.runs() && !b.runs())
    throw UsageError("both files are traces, which are recorded runs, so pictures cannot be used", "leave the pictures out");
  const bool exif_rotate = (a.runs() ? a : b).loaded.info.exif_rotate;
  std::vector<data::Picture> pictures;
  int64_t turned = 0;
  for (const std::string& path : options.pictures) {
    data::DecodedFile file = data::load_file(path, {.exif_rotate = exif_rotate});
    turned += file.orientation != 1;
    pictures.push_back(std::move(file.picture));
  }
  say_turned(turned, exif_rotate);
  return pictures;
}

// The requested classes, or those of a trace; empty: the likeliest of the side that runs first.
std::vector<int64_t> classes_of(const DiffOptions& options, const Side& a, const Side& b, int64_t n, std::vector<std::string>& head) {
  const Side& model = a.runs() ? a : b;
  if (const auto index = class_index(options.target, model.loaded.info.vocabulary))
    return std::vector<int64_t>(static_cast<size_t>(n), *index);
  for (const Side* side : {&a, &b})
    if (!side->trace.classes.empty()) return side->trace.classes;
  if (a.runs() && b.runs() && a.loaded.model->spec().classes != b.loaded.model->spec().classes) {
    head.push_back("A and B have different numbers of classes: gradients are those of class 0 (choose another with --class)");
    return std::vector<int64_t>(static_cast<size_t>(n), 0);
  }
  return {};
}

void run_side(Side& side, const Tensor& input, const DiffOptions& options, const std::vector<int64_t>& classes) {
  nn::Console console(std::cerr, isatty(STDERR_FILENO) == 1);
  console.status(fmt::format("running {}", side.text()));
  side.trace = nn::trace(*side.loaded.model, input,
                         {.precision = side.compute(),
                          .training = options.train,
                          .dropout = !options.no_dropout,
                          .parameters = options.parameters,
                          .objective = options.loss ? nn::Objective::loss : nn::Objective::logit,
                          .classes = classes,
                          .seed = options.common.seed});
  side.trace.about["architecture"] = side.loaded.model->spec().arch;
  side.trace.about["device"] = side.device->name();
  side.trace.about["precision"] = side.precision;
  console.clear_status();
}

// The model now runs as the trace did.
DiffOptions as_traced(DiffOptions options, const Side& a, const Side& b) {
  for (const Side* side : {&a, &b}) {
    if (side->runs()) continue;
    options.train |= about(side->trace, "mode") == "training";
    options.loss |= about(side->trace, "objective") == "loss";
    options.parameters |= !side->trace.parameters.empty();
  }
  return options;
}

// Runs the models that are not traces.
void run_sides(Side& a, Side& b, const DiffOptions& options, std::vector<std::string>& head) {
  const std::vector<data::Picture> pictures = load_pictures(options, a, b);
  agree_on_size(a, b, head);
  std::vector<int64_t> classes;
  bool chosen = false;
  for (Side* side : {&a, &b}) {
    if (!side->runs()) continue;
    const Tensor input = input_of(*side, side == &a ? b : a, pictures);
    if (!chosen) classes = classes_of(options, a, b, input.size(0), head);
    chosen = true;
    run_side(*side, input, options, classes);
    classes = side->trace.classes;
  }
}

DiffReport report_of(const Side& a, const Side& b, const DiffOptions& options, std::vector<std::string> notes) {
  const Side& model = a.runs() || !b.runs() ? a : b;
  const std::string objective = about(model.trace, "objective"), mode = about(model.trace, "mode");
  DiffReport report{.head = {"A: " + a.text(), "B: " + b.text()}, .context = {}, .diff = nn::diff(a.trace, b.trace), .all = options.all};
  report.tolerance = options.tolerance.value_or(nn::usual_tolerance(a.trace, b.trace));
  std::vector<std::string> classes;
  for (const int64_t index : model.trace.classes)
    classes.push_back(model.runs() ? model.loaded.info.vocabulary[static_cast<size_t>(index)] : std::to_string(index));
  report.head.push_back(fmt::format("{} mode; gradients of {} {}", mode == "training" ? "training" : "evaluation",
                                    objective == "loss" ? "the cross entropy of class" : "the logit of class", fmt::join(classes, ", ")));
  for (std::string& note : notes) report.head.push_back(std::move(note));
  const auto side = [](const Side& s) {
    nlohmann::ordered_json json{{"file", s.path}, {"trace", !s.runs()}};
    for (const char* key : {"architecture", "device", "precision"}) json[key] = about(s.trace, key);
    return json;
  };
  report.context = {{"a", side(a)}, {"b", side(b)},           {"pictures", options.pictures},
                    {"mode", mode}, {"objective", objective}, {"classes", model.trace.classes}};
  return report;
}

void run(const DiffOptions& asked, ExitCodes& codes) {
  codes.failure = kTrouble;
  if (asked.csv && asked.common.json) throw UsageError("--csv and --json cannot be used together", "give one of them");
  if (!asked.dump.empty()) {
    std::vector<std::filesystem::path> inputs{asked.pictures.begin(), asked.pictures.end()};
    inputs.insert(inputs.end(), {asked.a.path, asked.b.path});
    Outputs(std::move(inputs)).add("--dump", asked.dump, trace_file());
  }
  std::vector<std::string> notes;
  Side a = open_side(asked, asked.a), b = open_side(asked, asked.b);
  const DiffOptions options = as_traced(asked, a, b);
  if (!options.dump.empty() && !a.runs()) throw UsageError(fmt::format("--dump writes what A computed, but {} is already a trace", a.path));
  run_sides(a, b, options, notes);
  if (!options.dump.empty()) nn::write_trace(options.dump, a.trace);
  const DiffReport report = report_of(a, b, options, std::move(notes));
  options.common.json ? print_json(to_json(report)) : print(options.csv ? to_csv(report) : to_text(report));
  if (!nn::within(report.diff, report.tolerance)) codes.success = kParted;
}

constexpr std::string_view kFooter = R"(
Runs the pictures through A and B with every module watched, forward and backward from
one class's logit, and compares each module's output and its gradient:
  largest   max |a - b|             relative  ||a - b|| / ||a||             0: equal
The first module whose relative difference (or max |a - b| / max |a|) is above the
tolerance is marked, and so is the first gradient in the backward pass. A gradient that is
above it only because a ReLU or a maximum near its threshold chose differently in A and B
gets a ~ and counts as within. With --parameters no batch norm is folded into its
convolution; the last line compares the logits of unwatched inference, which folds them.
The default tolerance is 1e-5 in fp32, 5e-3 if one side is fp16, 3e-2 if one is bf16,
1e-10 if both are fp64.

  mirilla diff model.safetensors other.safetensors photo.jpg
  mirilla diff model.safetensors model.safetensors photo.jpg --device-b reference
  mirilla diff model.safetensors model.safetensors photo.jpg --precision-b fp16 --parameters

A or B may also be a trace: a .safetensors file that --dump wrote on another machine, or
a few lines of Python with PyTorch (docs/diff.md). Then the pictures may be left out:
those in the trace are used, and the other side runs with the settings of the trace.
Exit code: 0 all within the tolerance, 1 something is above it, 2 an error.)";

}  // namespace

void add_diff(CLI::App& app, ExitCodes& codes) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand("diff", "compare two models, devices or precisions module by module");
  command->add_option("A", options->a.path, "a model, or a trace written by --dump")->required();
  command->add_option("B", options->b.path, "another model or trace, or the same one for another device or precision")->required();
  command->add_option("PICTURE", options->pictures, "pictures: one batch");
  const auto device = [&](const char* name, std::string& value, const char* side) {
    command->add_option(name, value, fmt::format("{}'s device; default: --device", side))->type_name("NAME");
  };
  const auto precision = [&](const char* name, std::string& value, const std::string& text) {
    command->add_option(name, value, text)->check(one_of({"fp64", "fp32", "fp16", "bf16"}))->type_name("NAME");
  };
  device("--device-a", options->a.device, "A");
  device("--device-b", options->b.device, "B");
  precision("--precision", options->precision, "fp32, fp16, bf16, or fp64 on the reference device; default: fp32");
  precision("--precision-a", options->a.precision, "the precision of A only");
  precision("--precision-b", options->b.precision, "the precision of B only");
  command->add_option("--class", options->target, "the class whose logit is differentiated; default: the one that A predicts")
      ->type_name("NAME|INDEX");
  command->add_flag("--loss", options->loss, "differentiate the cross entropy instead, with that class as the label");
  command->add_flag("--train", options->train,
                    "training mode: batch norms use the batch's statistics, dropout is on; needs two pictures or more");
  command->add_flag("--no-dropout", options->no_dropout, "turn dropout off in training mode");
  command->add_flag("--parameters", options->parameters, "also compare parameters, their gradients, and buffers");
  add_number(*command, "--tolerance", options->tolerance, kTolerance, "the largest relative difference that counts as equal")
      ->type_name("T");
  command->add_option("--dump", options->dump, "also write A's activations and gradients: .safetensors in PyTorch's layouts")
      ->type_name("FILE");
  command->add_flag("--all", options->all, "also show containers, whose output is that of their last child");
  command->add_flag("--csv", options->csv, "print CSV: one line per module");
  add_overrides(*command, options->model);
  add_common(*command, options->common);
  command->footer(std::string(kFooter));
  command->callback([options, &codes] { run(*options, codes); });
}

}  // namespace mirilla::apps
