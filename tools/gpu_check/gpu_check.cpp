// SPDX-License-Identifier: MIT
// The measurements of tools/gpu-check on a device. One JSON document on stdout (serve: one line per answer); exit code 1 where a promise is
// broken.
//
//   gpu_check device                              the device's properties, and what cuDNN can fuse on it
//   gpu_check steps --device cuda --against cpu   the same steps on two devices
//   gpu_check ceilings --device cuda              how fast it copies and multiplies
//   gpu_check kernels --race "train 128 128 fp16" the time of every kernel
//   gpu_check serve --device cuda                 Mirilla's contender in the races
#include <algorithm>
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/scenes/scenes.h"
#include "engine/amp/autocast.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tape.h"
#include "engine/tensor.h"
#include "kernels/core/device.h"
#include "kernels/core/error.h"
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/device.h"
#include "kernels/devices.h"
#include "nn/modules/resnet.h"
#include "nn/train/adam.h"
#include "tools/gpu_check/commands.h"

namespace mirilla::gpu_check {
namespace {

struct Options {
  std::string device = "cuda", against = "cpu", precision = "f32", race = "train 128 128 fp16";
  int steps = 20, batch = 8, size = 64;  // with smaller ones, batch norms of so few values see only rounding errors
};

// bf16 has f32's range, so gradients need no scale.
DType dtype_of(const Options& options) {
  if (options.precision == "f32") return DType::f32;
  if (options.precision == "bf16") return DType::bf16;
  throw UsageError(fmt::format("--precision: expected f32 or bf16, got {}", options.precision));
}

struct Batch {
  std::vector<float> pictures;
  std::vector<int64_t> targets;
};

// Scenes number step * batch ... of all classes in turn, normalised as ImageNet's pictures are.
Batch scenes(const Options& options, int step) {
  constexpr float kMean[] = {0.485f, 0.456f, 0.406f}, kDeviation[] = {0.229f, 0.224f, 0.225f};
  Batch batch;
  for (int i = 0; i < options.batch; ++i) {
    const int number = step * options.batch + i, scene_class = number % static_cast<int>(data::kSceneClasses.size());
    const data::Scene scene = data::draw_scene(static_cast<data::SceneClass>(scene_class), 7, static_cast<uint32_t>(number), options.size);
    for (size_t p = 0; p < scene.picture.pixels.size(); ++p)
      batch.pictures.push_back((static_cast<float>(scene.picture.pixels[p]) / 255 - kMean[p % 3]) / kDeviation[p % 3]);
    batch.targets.push_back(scene_class);
  }
  return batch;
}

// One network, its optimizer and their device.
class Training {
 public:
  Training(std::string_view device, const Options& options)
      : device_(open_device(device)), options_(options), model_({.seed = 5}, {device_}), adam_({model_.parameters()}) {
    for (nn::NamedTensor& parameter : model_.parameters()) parameter.tensor.set_requires_grad();
    model_.train();
  }

  /// Takes a step; returns the loss, still on the device.
  Tensor step(const Batch& batch, uint32_t number) {
    model_.begin_step(1, number);
    const Tensor pictures = from_host(batch.pictures, {options_.batch, options_.size, options_.size, 3}, device_);
    const Tensor targets = from_host(batch.targets, {options_.batch}, device_);
    adam_.zero_grad();
    const Tensor loss = [&] {
      const amp::Autocast precision(dtype_of(options_));
      return cross_entropy(model_(pictures), targets).loss;
    }();
    tape::backward(loss);
    adam_.step({.lr = {1e-3}, .momentum = 0.9});
    return loss;
  }

  void copy_from(const Training& other) {
    const auto copy = [](std::vector<nn::NamedTensor> to, const std::vector<nn::NamedTensor>& from) {
      for (size_t i = 0; i < to.size(); ++i) to[i].tensor.copy_from(from[i].tensor);
    };
    copy(model_.parameters(), other.model_.parameters());
    copy(model_.buffers(), other.model_.buffers());
    adam_.set_state(other.adam_.state());
  }

 private:
  Device& device_;
  Options options_;
  nn::ResNet model_;
  nn::Adam adam_;
};

struct Losses {
  std::vector<double> ours, theirs;
  double largest = 0;  // relative difference
};

// Both start equal; with `same_state` they also have the same state before each step, so that differences cannot accumulate.
Losses compare(const Options& options, bool same_state) {
  Training ours(options.device, options), theirs(options.against, options);
  Losses losses;
  for (int i = 0; i < options.steps; ++i) {
    if (same_state) ours.copy_from(theirs);
    const Batch batch = scenes(options, i);
    const double a = ours.step(batch, static_cast<uint32_t>(i)).item(), b = theirs.step(batch, static_cast<uint32_t>(i)).item();
    losses.ours.push_back(a);
    losses.theirs.push_back(b);
    const double difference = std::abs(a - b) / std::max(std::abs(b), 1e-12);
    losses.largest = std::isfinite(difference) ? std::max(losses.largest, difference) : INFINITY;
  }
  return losses;
}

// One step from the same state differs by the rounding of sums: in f32, 1e-4 is ten times the difference between two orders of summation on
// the host. In bf16 activations are rounded at 2^-8 in each of 20 layers, and where two devices differ in the last bit they may round
// differently.
double tolerance(const Options& options) { return dtype_of(options) == DType::f32 ? 1e-4 : 6e-2; }

int steps(const Options& options, Json& document) {
  const Losses same = compare(options, true), free = compare(options, false);
  document = {{"device", open_device(options.device).description()},
              {"against", open_device(options.against).description()},
              {"precision", options.precision},
              {"from_the_same_state", {{"losses", same.ours}, {"against", same.theirs}, {"largest_relative_difference", same.largest}}},
              {"left_alone", {{"losses", free.ours}, {"against", free.theirs}, {"largest_relative_difference", free.largest}}},
              {"tolerance_from_the_same_state", tolerance(options)}};
  const bool holds = same.largest <= tolerance(options) && std::isfinite(free.largest);
  document["holds"] = holds;
  return holds ? 0 : 1;
}

int device(Json& document) {
  document = {{"version_line", cuda::version_line()}, {"unavailable", cuda::unavailable()}, {"fusions", cuda::conv_fusions()}};
  return cuda::unavailable().empty() ? 0 : 3;
}

int run(int argc, char** argv) {
  CLI::App app("Checks a GPU: are its results right, and how fast is it?");
  Options options;
  app.require_subcommand(1);
  app.add_subcommand("device", "the GPU's properties; exit code 3 if there is none");
  CLI::App& steps_command = *app.add_subcommand("steps", "the same training steps on two devices");
  CLI::App& ceilings_command = *app.add_subcommand("ceilings", "how fast it copies and multiplies");
  CLI::App& serve_command = *app.add_subcommand("serve", "answers the races' questions from stdin, one line each");
  steps_command.add_option("--against", options.against, "the other device");
  steps_command.add_option("--steps", options.steps)->check(CLI::PositiveNumber);
  CLI::App& kernels_command = *app.add_subcommand("kernels", "the time of every kernel in ten steps");
  kernels_command.add_option("--race", options.race, "train or infer, batch, size, precision");
  for (CLI::App* command : {&steps_command, &ceilings_command, &kernels_command, &serve_command})
    command->add_option("--device", options.device);
  steps_command.add_option("--precision", options.precision, "f32 or bf16");
  steps_command.add_option("--batch", options.batch)->check(CLI::PositiveNumber);
  steps_command.add_option("--size", options.size, "width and height in pixels")->check(CLI::Range(32, 512));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (app.got_subcommand("serve")) return serve(options.device), 0;
  Json document;
  int code = 0;
  if (app.got_subcommand("steps"))
    code = steps(options, document);
  else if (app.got_subcommand("kernels"))
    document = kernels(options.device, options.race);
  else if (app.got_subcommand("ceilings"))
    document = ceilings(options.device);
  else
    code = device(document);
  fmt::print("{}\n", document.dump(1));
  return code;
}

}  // namespace
}  // namespace mirilla::gpu_check

int main(int argc, char** argv) {
  try {
    return mirilla::gpu_check::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_check: {}\n", error.what());
    return 1;
  }
}
