// SPDX-License-Identifier: MIT
#include "apps/weights_print.h"

#include <iostream>

#include "apps/command.h"
#include "apps/numbers.h"
#include "apps/outputs.h"
#include "kernels/devices.h"
#include "nn/files/model_tensors.h"
#include "nn/files/onnx.h"
#include "weights/names.h"
#include "weights/pth.h"
#include "weights/read.h"
#include "weights/safetensors.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

struct WeightsOptions {
  std::string file, other;
  std::string names = "auto";
  std::string arch;
  bool normalised_input = false;
  bool json = false;
};

weights::StateDict read(const std::string& file) {
  weights::StateDict state = weights::read_weights(file);
  for (const std::string& note : state.notes) std::cerr << note << '\n';
  return state;
}

void inspect(const WeightsOptions& options) {
  const weights::StateDict state = read(options.file);
  const Recognised recognised = recognise(state, options.file);
  const std::vector<weights::Facts> facts = weights::facts_of(state);
  options.json ? print_json(inspection_json(facts, recognised)) : print(inspection_text(facts, recognised));
}

// --- verify

nn::ResNetSpec spec_for(const WeightsOptions& options, const Recognised& recognised) {
  nn::ResNetSpec spec{.arch = options.arch, .classes = 1, .head = nn::Head::torchvision, .seed = std::nullopt};
  if (options.arch.empty()) {
    if (!recognised.network) throw WeightsError(recognised.why_not, "--arch compares it with an architecture all the same");
    spec.arch = recognised.network->arch;
  }
  if (recognised.network && recognised.network->head) {
    spec.head = *recognised.network->head;
    spec.classes = recognised.network->classes;
  }
  return spec;
}

void verify(const WeightsOptions& options, ExitCodes& codes) {
  const weights::StateDict state = read(options.file);
  const Recognised recognised = recognise(state, options.file);
  const nn::ResNetSpec spec = spec_for(options, recognised);
  const nn::ResNet model(spec, {.device = open_device("cpu"), .dtype = DType::f32});
  weights::Report report = weights::match(nn::wanted_by(model), state);
  if (recognised.network && !recognised.network->head)  // a body alone is whole
    std::erase_if(report.missing, [](const std::string& name) { return name.starts_with("fc."); });
  const Verdict verdict{.spec = spec, .report = report, .flaws = weights::flaws_of(report, state)};
  options.json ? print_json(verdict_json(verdict)) : print(verdict_text(verdict));
  if (!verdict.good()) codes.success = 1;
}

// --- convert

weights::Naming naming_of(const WeightsOptions& options, const std::vector<std::string>& ours) {
  if (options.names == "ours") return weights::Naming::ours;
  if (options.names == "torchvision") return weights::Naming::torchvision;
  if (options.names == "fastai") return weights::Naming::fastai;
  if (fs::path(options.other).extension() == ".safetensors") return weights::Naming::ours;
  const bool head = std::any_of(ours.begin(), ours.end(), [](const std::string& name) { return name.starts_with("head."); });
  return head ? weights::Naming::fastai : weights::Naming::torchvision;
}

weights::StateDict renamed(const weights::StateDict& state, const WeightsOptions& options) {
  const std::vector<std::string> ours = weights::model_names(state);
  const weights::Naming naming = naming_of(options, ours);
  weights::StateDict out;
  if (naming == weights::Naming::ours) out.metadata = state.metadata;
  size_t at = 0;
  for (const auto& [name, array] : state) out.add(weights::spelled(ours[at++], naming), array);
  return out;
}

void convert(const WeightsOptions& options) {
  struct Target {
    std::string_view extension;
    FileKind kind;
    std::function<void(const weights::StateDict&)> write;
  };
  const auto pth = [&](const weights::StateDict& state) { weights::write_pth(options.other, renamed(state, options)); };
  const auto safetensors = [&](const weights::StateDict& state) { weights::write_safetensors(options.other, renamed(state, options)); };
  const auto onnx = [&](const weights::StateDict& state) {
    nn::write_onnx(options.other, state, nn::info_in(state, options.file), {.normalise = !options.normalised_input});
  };
  const Target targets[] = {
      {".pth", pth_file(), pth}, {".pt", pth_file(), pth}, {".safetensors", weights_file(), safetensors}, {".onnx", onnx_file(), onnx}};
  const auto target = std::find_if(std::begin(targets), std::end(targets),
                                   [&](const Target& one) { return fs::path(options.other).extension() == one.extension; });
  if (target == std::end(targets))
    throw UsageError(fmt::format("OUT must end in .pth, .pt, .safetensors or .onnx, and '{}' came", options.other));
  Outputs({options.file}).add("OUT", options.other, target->kind);
  const weights::StateDict state = read(options.file);
  target->write(state);
  print(fmt::format("{}: {} tensors\n", options.other, state.size()));
}

// --- diff

void diff(const WeightsOptions& options, ExitCodes& codes) {
  const weights::Comparison comparison = weights::compare(read(options.file), read(options.other));
  options.json ? print_json(comparison_json(comparison)) : print(comparison_text(comparison));
  if (!comparison.equal()) codes.success = 1;
}

CLI::App* subcommand(CLI::App& parent, const std::string& name, const std::string& what, WeightsOptions& options) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_option("FILE", options.file, ".pth, .pt, .ckpt or .safetensors")->required();
  return command;
}

}  // namespace

void add_weights(CLI::App& app, ExitCodes& codes) {
  auto options = std::make_shared<WeightsOptions>();
  CLI::App* command = app.add_subcommand("weights", "look into files of weights, check, compare and convert them");
  command->require_subcommand(1);
  command->footer("Exit code of verify and diff: 0 it fits, they are equal; 1 it does not, they differ, or an error.");

  CLI::App* one =
      subcommand(*command, "inspect", "names, shapes, types, norms, values that are not finite; the network that it is of", *options);
  one->add_flag("--json", options->json, "one JSON document on stdout");
  one->callback([options] { inspect(*options); });

  one = subcommand(*command, "verify", "whether a network can be made of it: missing and unexpected names, shapes, values", *options);
  one->add_option("--arch", options->arch, "the network that it is meant for; default: the one that its names tell")->type_name("NAME");
  one->add_flag("--json", options->json, "one JSON document on stdout");
  one->callback([options, &codes] { verify(*options, codes); });

  one = subcommand(*command, "convert", "write it as .pth, which torch.load opens, as .safetensors, or as an ONNX model", *options);
  one->add_option("OUT", options->other, "the new file: .pth, .pt, .safetensors or .onnx")->required();
  one->add_option(
         "--names", options->names,
         "torchvision's, fastai's (a vision_learner's) or ours; auto: in .pth fastai's if it has a head of fastai's, else torchvision's")
      ->check(one_of({"auto", "ours", "torchvision", "fastai"}))
      ->capture_default_str()
      ->type_name("WHOSE");
  one->add_flag("--normalised-input", options->normalised_input,
                "the ONNX model takes normalised pictures; default: RGB from 0 to 1, which it normalises itself");
  one->callback([options] { convert(*options); });

  one = subcommand(*command, "diff", "compare two files tensor by tensor, whatever their formats and spellings", *options);
  one->add_option("OTHER", options->other, "another file")->required();
  one->add_flag("--json", options->json, "one JSON document on stdout");
  one->callback([options, &codes] { diff(*options, codes); });
}

}  // namespace mirilla::apps
