// SPDX-License-Identifier: MIT
// ResNet18 with fastai's head on random pictures: a training step and two kinds of inference, each next to its convolutions alone. The two
// take turns, so that a disturbance of the machine affects both. One JSON document on stdout; bench/compare adds PyTorch's figures.
//
//   train_32_128_ms   forward, cross entropy, backward, Adam; batch 32 at 128 px; every parameter trained
//   infer_32_128_ms   forward in evaluation mode
//   infer_1_224_ms    the same for one picture at 224 px
//   gradcam_*_224_ms  Grad-CAM of one picture at 224 px, forward pass, and backward pass to the layer
//   forward_*_224_ms  the forward pass alone, taking turns with it
//   conv_only_*       the convolutions of each, see bench/convolutions.h
#include <time.h>

#include <algorithm>
#include <chrono>
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/convolutions.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tape.h"
#include "engine/tensor.h"
#include "kernels/core/error.h"
#include "kernels/core/philox.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/explain/grad_cam.h"
#include "nn/modules/resnet.h"
#include "nn/train/adam.h"

namespace mirilla::bench {

std::vector<Convolution> resnet18_convolutions(int64_t pictures, int64_t size) {
  std::vector<Convolution> all{{pictures, size, 3, 64, 7, {.stride = 2, .padding = 3, .dilation = 1}, true}};
  int64_t extent = size / 4, channels = 64;
  for (const int64_t outputs : {64, 128, 256, 512}) {
    const int stride = outputs == channels ? 1 : 2;
    all.push_back({pictures, extent, channels, outputs, 3, {.stride = stride, .padding = 1, .dilation = 1}});
    if (stride == 2) all.push_back({pictures, extent, channels, outputs, 1, {.stride = 2, .padding = 0, .dilation = 1}});
    extent = all.back().out_extent();
    for (int i = 0; i < 3; ++i) all.push_back({pictures, extent, outputs, outputs, 3, {.stride = 1, .padding = 1, .dilation = 1}});
    channels = outputs;
  }
  return all;
}

namespace {

struct Options {
  double seconds = 6;
  int threads = 0;
  bool cpu_time = false;
};

/// Seconds of wall time or, on a shared machine, of processor time per thread (with OMP_WAIT_POLICY=passive, so that waiting is not
/// counted).
double now(const Options& options) {
  timespec t{};
  clock_gettime(options.cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec)) / (options.cpu_time ? host_threads() : 1);
}

double median(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

/// Medians in milliseconds of two pieces of work that take turns for the given time, after two turns to warm up.
std::pair<double, double> in_turns(const Options& options, const std::function<void()>& one, const std::function<void()>& other) {
  std::vector<double> first, second;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.seconds);
  for (int turn = 0; turn < 7 || std::chrono::steady_clock::now() < end; ++turn) {
    const double start = now(options);
    one();
    const double between = now(options);
    other();
    if (turn < 2) continue;
    first.push_back(1e3 * (between - start));
    second.push_back(1e3 * (now(options) - between));
  }
  return {median(first), median(second)};
}

Tensor random_pictures(int64_t n, int64_t size, Device& device) {
  std::vector<float> values(static_cast<size_t>(n * size * size * 3));
  const RandomKey key{.seed = 1};
  for (size_t i = 0; i < values.size(); ++i) values[i] = 4 * to_unit(key.bits(static_cast<uint32_t>(i))) - 2;
  return from_host(values, {n, size, size, 3}, device);
}

Tensor some_targets(int64_t n, Device& device) {
  std::vector<int64_t> targets(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) targets[static_cast<size_t>(i)] = i % 6;
  return from_host(targets, {n}, device);
}

/// A fast wrong answer is useless: compares the logits with the reference device, on pictures small enough for it.
void validate() {
  std::vector<std::vector<double>> logits;
  for (const char* name : {"cpu", "reference"}) {
    Device& device = open_device(name);
    nn::ResNet model({}, {device});
    model.evaluate();
    const tape::NoGrad no_grad;
    logits.push_back(model(random_pictures(2, 64, device)).to_doubles());
  }
  for (size_t i = 0; i < logits[0].size(); ++i) {
    if (!(std::fabs(logits[0][i] - logits[1][i]) <= 1e-3 * std::max(1.0, std::fabs(logits[1][i])))) {
      throw Error(fmt::format("logit {} is {} on the cpu and {} on the reference device", i, logits[0][i], logits[1][i]));
    }
  }
}

/// Puts the figures of one measurement into the document under both names.
void record(nlohmann::ordered_json& document, const std::string& name, const std::string& alone, std::pair<double, double> times) {
  document[name] = times.first;
  if (ConvolutionsAlone::available()) document[alone] = times.second;
}

void train(const Options& options, nlohmann::ordered_json& document) {
  Device& device = open_device("cpu");
  nn::ResNet model({}, {device});
  for (nn::NamedTensor& parameter : model.parameters()) parameter.tensor.set_requires_grad();
  nn::Adam adam({model.parameters()});
  const Tensor pictures = random_pictures(32, 128, device), targets = some_targets(32, device);
  uint32_t step = 0;
  const auto one_step = [&] {
    model.begin_step(1, step++);
    const Tensor loss = cross_entropy(model(pictures), targets).loss;
    tape::backward(loss);
    adam.step({.lr = {1e-3}, .momentum = 0.9});
    adam.zero_grad();
    if (!std::isfinite(loss.item())) throw Error("the loss is not a number");
  };
  ConvolutionsAlone alone(resnet18_convolutions(32, 128), true);
  record(document, "train_32_128_ms", "conv_only_train_ms", in_turns(options, one_step, [&] { alone.run(); }));
}

void infer(const Options& options, int64_t n, int64_t size, const char* name, const char* alone_name, nlohmann::ordered_json& document) {
  Device& device = open_device("cpu");
  nn::ResNet model({}, {device});
  model.evaluate();
  const tape::NoGrad no_grad;
  const Tensor pictures = random_pictures(n, size, device);
  ConvolutionsAlone alone(resnet18_convolutions(n, size), false);
  record(document, name, alone_name,
         in_turns(
             options, [&] { model(pictures).to_doubles(); }, [&] { alone.run(); }));
}

/// Measures the cost of an explanation relative to the prediction that it explains.
void explain(const Options& options, const char* layer, nlohmann::ordered_json& document) {
  Device& device = open_device("cpu");
  nn::ResNet model({}, {device});
  model.evaluate();
  const Tensor picture = random_pictures(1, 224, device);
  const auto forward = [&] {
    const tape::NoGrad no_grad;
    model(picture).to_doubles();
  };
  const auto times = in_turns(
      options, [&] { nn::grad_cam(model, picture, {layer}, 1, nn::CamStyle::course); }, forward);
  document[fmt::format("gradcam_{}_224_ms", layer)] = times.first;
  document[fmt::format("forward_{}_224_ms", layer)] = times.second;
}

int run(int argc, char** argv) {
  CLI::App app{"Times ResNet18 beside its convolutions alone."};
  Options options;
  app.add_option("--seconds", options.seconds, "for each pair of measurements");
  app.add_option("--threads", options.threads, "0: one per core");
  app.add_flag("--cpu-time", options.cpu_time, "measure processor time per thread instead of wall time, for a shared machine");
  CLI11_PARSE(app, argc, argv);
  if (options.threads > 0) set_host_threads(options.threads);
  validate();
  nlohmann::ordered_json document;
  document["device"] = open_device("cpu").description();
  document["clock"] = options.cpu_time ? "processor time a thread" : "wall";
  train(options, document);
  infer(options, 32, 128, "infer_32_128_ms", "conv_only_infer_32_ms", document);
  infer(options, 1, 224, "infer_1_224_ms", "conv_only_infer_1_224_ms", document);
  explain(options, "layer4", document);
  explain(options, "layer3", document);
  std::puts(document.dump(2).c_str());
  return 0;
}

}  // namespace

}  // namespace mirilla::bench

int main(int argc, char** argv) {
  try {
    return mirilla::bench::run(argc, argv);
  } catch (const mirilla::Error& error) {
    std::fprintf(stderr, "resnet_bench: %s\n", error.what());
    return 1;
  }
}
