// SPDX-License-Identifier: MIT
#include "nn/inspect/cost.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "engine/allocator.h"
#include "kernels/core/philox.h"
#include "nn/run/evaluate.h"
#include "nn/run/inference.h"
#include "nn/train/adam.h"
#include "nn/train/training_step.h"

namespace mirilla::nn {

namespace {

constexpr double kLossScale = 64;  // small enough that no gradient of the first steps overflows, which would skip the optimizer

// Numbers in [0,1) for a network that computes: batch norms of constant pictures would see only rounding errors.
std::vector<float> noise(int64_t count) {
  const RandomKey key{.seed = 1, .purpose = Purpose::kTest};
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = to_unit(key.bits(static_cast<uint32_t>(i)));
  return values;
}

// One step after another, as the learner and the predictor run them.
class Steps {
 public:
  Steps(Device& device, const CostOptions& options)
      : device_(device), options_(options), network_(options.network, {device}), labels_(static_cast<size_t>(options.batch_size), 0) {
    if (options.input)
      batch_ = pictures();
    else
      input_ = LastingInput(normalised_pictures());
    info_.size = options.size;
    const ReplayOptions replay{.mode = device.can_replay() ? ReplayMode::on : ReplayMode::off};
    if (!options.training) {
      inference_.emplace(network_, options.precision, replay);
      return;
    }
    network_.train();
    for (NamedTensor& parameter : network_.parameters()) parameter.tensor.set_requires_grad();
    adam_.emplace(network_.parameter_groups());
    if (options.precision == amp::Precision::fp16) scaler_.emplace(device, amp::GradScalerOptions{.initial = kLossScale});
    training_.emplace(network_, *adam_, TrainingStepOptions{.precision = options.precision, .seed = 1, .replay = replay});
  }

  void operator()() {
    options_.training ? train() : static_cast<void>((*inference_)(input()));
    ++number_;
  }

 private:
  bool computes() const { return options_.network.seed.has_value(); }

  Tensor normalised_pictures() const {
    const Tensor all =
        empty({options_.batch_size, options_.size, options_.size, 3}, input_placement(network_, options_.precision).dtype, device_);
    if (computes()) Tensor(all).copy_from(from_host(noise(all.numel()), all.shape(), device_));
    return all;
  }

  // Kept on the device, as data::Feed keeps them.
  data::Batch pictures() {
    const int64_t n = options_.batch_size;
    data::Batch batch;
    batch.n = n;
    batch.size = options_.resize;
    const int64_t row = int64_t{options_.resize} * 3;
    batch.pictures = empty({n, options_.resize, options_.resize, 3}, DType::u8, device_);
    if (computes()) {
      std::vector<uint8_t> pixels;
      for (const float value : noise(batch.pictures.numel())) pixels.push_back(static_cast<uint8_t>(256 * value));
      batch.pictures.copy_from(from_host(pixels, batch.pictures.shape(), device_));
    }
    std::vector<int64_t> places;
    for (int64_t i = 0; i < n; ++i) places.insert(places.end(), {i * options_.resize * row, row});
    batch.places = from_host(places, {n, 2}, device_);
    batch.labels = labels_;
    batch.items.assign(static_cast<size_t>(n), 0);
    return batch;
  }

  Tensor input() {
    const InputPlace place = options_.training ? training_->input_place() : inference_->input_place();
    if (!batch_) return input_.in(place);
    if (!options_.training) return validation_input(*batch_, info_, place);
    return training_input(*batch_, {.size = options_.size}, 1, static_cast<uint32_t>(number_), info_, place);
  }

  void train() {
    (*training_)({.input = input(),
                  .labels = labels_,
                  .rates = {.lr = std::vector<double>(adam_->groups().size(), 1e-3), .momentum = 0.9},
                  .number = number_,
                  .scaler = scaler_ ? &*scaler_ : nullptr});
  }

  Device& device_;
  const CostOptions& options_;
  ResNet network_;
  LastingInput input_;
  std::vector<int64_t> labels_;
  ModelInfo info_;
  std::optional<data::Batch> batch_;
  std::optional<Adam> adam_;
  std::optional<amp::GradScaler> scaler_;
  std::optional<TrainingStep> training_;
  std::optional<Inference> inference_;
  int64_t number_ = 0;
};

constexpr std::array kModules{"input", "stem", "layer1", "layer2", "layer3", "layer4", "head", "loss", "optimizer"};

// "the backward of conv2d in layer1.0.conv1" -> layer1. What runs outside the modules is known by its operation.
std::string module_of(const LedgerEntry& entry) {
  if (entry.operation == "augment") return "input";
  if (entry.operation == "adam" || entry.operation == "check_finite" || entry.operation == "update_scale") return "optimizer";
  std::string_view range = entry.range;
  if (const size_t in = range.rfind(" in "); in != std::string_view::npos) range.remove_prefix(in + 4);
  const std::string_view first = range.substr(0, range.find('.'));
  if (first.starts_with("layer")) return std::string(first);
  if (first == "head" || first == "avgpool" || first == "fc") return "head";
  if (first == "conv1" || first == "bn1" || first == "relu" || first == "maxpool") return "stem";
  return entry.operation.empty() ? "input" : "loss";
}

CostSum cost_of(const LedgerEntry& entry, const GpuModel& gpu) {
  const CostConstants& c = cost_constants();
  CostSum sum{.launches = 1, .read = entry.read, .written = entry.written, .flop = entry.flop};
  const auto bytes = static_cast<double>(entry.read + entry.written);
  if (entry.kind == LedgerEntry::Kind::send) {
    sum.limit_us = 1e6 * bytes / c.host_bytes_per_s.value;
    sum.us = c.shortest_us.value + sum.limit_us;
    return sum;
  }
  const double rate = entry.halves ? gpu.half_flop_per_s : gpu.float_flop_per_s;
  const double busy = std::min(1.0, static_cast<double>(std::max<int64_t>(entry.blocks, 1)) / gpu.multiprocessors);
  const double moving = 1e6 * bytes / gpu.bytes_per_s, computing = 1e6 * entry.flop / rate;
  sum.limit_us = std::max(moving, computing);
  sum.us = c.node_us.value + std::max({c.shortest_us.value, moving / c.copy_share.value, computing / (c.product_share.value * busy)});
  return sum;
}

void add(CostSum& sum, const CostSum& more) {
  sum.launches += more.launches;
  sum.read += more.read;
  sum.written += more.written;
  sum.flop += more.flop;
  sum.us += more.us;
  sum.limit_us += more.limit_us;
}

std::string without_arguments(const std::string& kernel) { return kernel.substr(0, kernel.find('<')); }

void add_up(Cost& cost, const GpuModel& gpu) {
  std::map<std::string, CostSum> modules;
  std::map<std::tuple<std::string, std::string, LedgerEntry::Kind>, CostSum> kernels;
  for (const LedgerEntry& entry : cost.entries) {
    const CostSum one = cost_of(entry, gpu);
    add(cost.total, one);
    add(modules[module_of(entry)], one);
    add(kernels[{without_arguments(entry.name), entry.operation, entry.kind}], one);
  }
  for (const char* const name : kModules)
    if (const auto found = modules.find(name); found != modules.end())
      cost.modules.push_back({.name = name, .operation = {}, .sum = found->second});
  for (const auto& [key, sum] : kernels)
    cost.kernels.push_back({.name = std::get<0>(key), .operation = std::get<1>(key), .kind = std::get<2>(key), .sum = sum});
  std::stable_sort(cost.kernels.begin(), cost.kernels.end(), [](const CostRow& a, const CostRow& b) { return a.sum.us > b.sum.us; });
}

}  // namespace

double Cost::pictures_per_s(int64_t batch_size) const { return total.us > 0 ? 1e6 * static_cast<double>(batch_size) / total.us : 0; }

Cost cost_of(const CostOptions& options, const GpuModel& gpu) {
  LedgerDevice& device = new_ledger_device({.name = std::string(gpu.title),
                                            .compute_capability = gpu.compute_capability,
                                            .multiprocessors = gpu.multiprocessors,
                                            .threads_per_multiprocessor = gpu.threads_per_multiprocessor,
                                            .memory_bytes = gpu.memory_bytes,
                                            .libraries = options.libraries});
  Steps step(device, options);
  step();  // eager
  step();  // recorded, and replayed
  step();  // its input in place from now on
  device.take();
  step();
  LedgerDevice::Work work = device.take();
  Cost cost;
  cost.memory_bytes = static_cast<int64_t>(Allocator::of(device).statistics().peak);
  cost.entries = std::move(work.entries);
  for (const LedgerCall& call : work.calls) {
    cost.floor_bytes += call.floor;
    cost.eager_bytes += call.eager;
    cost.compiled_bytes += call.compiled;
  }
  add_up(cost, gpu);
  return cost;
}

std::vector<double> time_steps(const CostOptions& options, Device& device, int steps) {
  Steps step(device, options);
  device.synchronize();
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    device.synchronize();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

}  // namespace mirilla::nn
