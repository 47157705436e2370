// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>

#include "apps/command.h"
#include "apps/cost_print.h"
#include "apps/numbers.h"
#include "kernels/devices.h"

namespace mirilla::apps {

namespace {

constexpr int kClasses = 6;  // of a network without a file

struct CostFlags {
  std::string model = "resnet18";
  std::string gpu = "h200";
  std::string precision = "fp16";
  bool training = false, kernels = false, no_input = false, own_kernels = false, json = false;
  std::optional<int64_t> batch_size;
  std::optional<int> size, resize, steps, multiprocessors;
};

bool is_architecture(const std::string& name) {
  const auto all = nn::architectures();
  return std::any_of(all.begin(), all.end(), [&](const nn::Architecture& one) { return one.name == name; });
}

std::string names_of(auto list) {
  std::string names;
  for (const auto& one : list) names += fmt::format("{}{}", names.empty() ? "" : ", ", one.name);
  return names;
}

// From a file only the shape of the network is used, and the sizes that it was trained with.
void take_model(const CostFlags& flags, nn::CostOptions& options) {
  if (is_architecture(flags.model)) {
    options.network = {.arch = flags.model, .classes = kClasses};
  } else {
    const nn::LoadedModel loaded = load({.path = flags.model, .allow_nonfinite = true, .quiet = true}, open_device("cpu"));
    options.network = loaded.model->spec();
    options.size = loaded.info.size;
    options.resize = loaded.info.resize;
  }
  options.network.seed = std::nullopt;
}

nn::CostOptions options_of(const CostFlags& flags) {
  nn::CostOptions options{.training = flags.training,
                          .batch_size = flags.batch_size.value_or(flags.training ? 64 : 256),
                          .size = flags.training ? 128 : 224,
                          .precision = precision_of(flags.precision, open_device("cpu")),  // named, so the device plays no part
                          .input = !flags.no_input,
                          .libraries = !flags.own_kernels};
  take_model(flags, options);
  options.size = flags.size.value_or(options.size);
  options.resize = flags.resize.value_or(options.resize);
  return options;
}

// Pictures per second on this machine's GPU, of the median step after the first two, which prepare the others.
double measure(nn::CostOptions options, int steps) {
  options.network.seed = 1;
  std::vector<double> seconds = nn::time_steps(options, open_device("cuda"), steps + 2);
  const auto first = seconds.begin() + 2, middle = first + steps / 2;
  std::nth_element(first, middle, seconds.end());
  return static_cast<double>(options.batch_size) / *middle;
}

void run(const CostFlags& flags) {
  nn::GpuModel gpu = nn::gpu_model_of(flags.gpu);
  gpu.multiprocessors = flags.multiprocessors.value_or(gpu.multiprocessors);
  const nn::CostOptions options = options_of(flags);
  const nn::Cost cost = nn::cost_of(options, gpu);
  std::optional<double> measured;
  if (flags.steps) measured = measure(options, *flags.steps);
  flags.json ? print_json(cost_json(cost, options, gpu, measured)) : print(cost_text(cost, options, gpu, measured, flags.kernels));
}

}  // namespace

void add_cost(CLI::App& app) {
  auto flags = std::make_shared<CostFlags>();
  CLI::App* command = app.add_subcommand("cost", "what a step gives a GPU, and how fast it should be: needs no GPU");
  std::vector<std::string> gpus;
  for (const nn::GpuModel& gpu : nn::gpu_models()) gpus.emplace_back(gpu.name);
  command->add_option("MODEL", flags->model, fmt::format("a model's file, or {}", names_of(nn::architectures())))->capture_default_str();
  command->add_option("--gpu", flags->gpu, "the GPU")->capture_default_str()->check(one_of(gpus))->type_name("NAME");
  command->add_flag("--train", flags->training, "a training step instead of inference");
  add_number(*command, "--batch-size", flags->batch_size, kBatch, "pictures per step; default: 256, with --train 64");
  add_number(*command, "--size", flags->size, kSizePixels, "the network's input; default: the model's, else 224, with --train 128")
      ->type_name("PX");
  add_number(*command, "--resize", flags->resize, kResizePixels, "pictures before they are augmented; default: the model's, else 256")
      ->type_name("PX");
  add_precision(*command, flags->precision);
  command->add_flag("--no-input", flags->no_input, "without the augmentation that makes the network's input");
  command->add_flag("--own-kernels", flags->own_kernels, "without cuDNN and cuBLASLt, as with MIRILLA_VENDOR=off");
  add_number(*command, "--measure", flags->steps, Bounds<int>{1, 1'000'000}, "also run so many replayed steps on this machine's GPU");
  add_number(*command, "--multiprocessors", flags->multiprocessors, Bounds<int>{1, 1024},
             "of the GPU, where it has others than its kind; launches then choose their grids for these");
  command->add_flag("--kernels", flags->kernels, "also list every kernel");
  command->add_flag("--json", flags->json, "one JSON document on stdout, with everything");
  command->callback([flags] { run(*flags); });
}

}  // namespace mirilla::apps
