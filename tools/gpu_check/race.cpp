// SPDX-License-Identifier: MIT
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "bench/race_rule.h"
#include "engine/amp/grad_scaler.h"
#include "engine/amp/precision.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tensor.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/modules/resnet.h"
#include "nn/run/evaluate.h"
#include "nn/run/inference.h"
#include "nn/train/adam.h"
#include "nn/train/training_step.h"
#include "tools/gpu_check/commands.h"
#include "tools/gpu_check/kernel_times.h"

namespace mirilla::gpu_check {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

amp::Precision precision_named(const std::string& name) {
  for (const amp::Precision known : {amp::Precision::fp32, amp::Precision::fp16, amp::Precision::bf16})
    if (name == amp::name_of(known)) return known;
  throw UsageError(fmt::format("expected fp32, fp16 or bf16, got {}", name));
}

/// PyTorch's (K,C,R,S) to ours, (K,R,S,C).
std::vector<float> our_layout(const std::vector<float>& theirs, const Shape& shape) {
  if (shape.rank() != 4) return theirs;
  const auto k = static_cast<size_t>(shape[0]), places = static_cast<size_t>(shape[1] * shape[2]), c = static_cast<size_t>(shape[3]);
  std::vector<float> ours(theirs.size());
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < c; ++j)
      for (size_t p = 0; p < places; ++p) ours[(i * places + p) * c + j] = theirs[(i * c + j) * places + p];
  return ours;
}

void fill(nn::ResNet& model) {
  for (nn::NamedTensor& named : model.parameters()) {
    const Shape& shape = named.tensor.shape();
    const int64_t fan_in = shape.rank() > 1 ? shape.numel() / shape[0] : 0;
    named.tensor.copy_from(from_host(our_layout(race::parameter(named.name, shape.numel(), fan_in), shape), shape, named.tensor.device()));
  }
  for (const auto& [name, module] : model.modules())
    if (auto* dropout = dynamic_cast<nn::Dropout*>(module)) dropout->set_p(0);
}

/// One network that runs on one batch repeatedly.
class Race {
 public:
  Race(Device& device, bool training, int64_t batch, int64_t size, amp::Precision precision)
      : device_(device), training_(training), model_({.seed = std::nullopt}, {device}) {
    fill(model_);
    pictures_ = nn::LastingInput(
        from_host(race::pictures(batch, size), {batch, size, size, 3}, device).to(nn::input_placement(model_, precision).dtype));
    labels_ = race::labels(batch);
    model_.train(training);
    if (training) {
      for (nn::NamedTensor& parameter : model_.parameters()) parameter.tensor.set_requires_grad();
      adam_.emplace(std::vector<std::vector<nn::NamedTensor>>{model_.parameters()});
      if (precision == amp::Precision::fp16) scaler_.emplace(device, amp::GradScalerOptions{.initial = race::kScale});
      training_step_.emplace(model_, *adam_, nn::TrainingStepOptions{.precision = precision, .seed = 1});
      for (int i = 0; i < race::kLosses; ++i) losses_.push_back(train().item());
    } else {
      inference_.emplace(model_, precision);
      losses_.push_back(cross_entropy(infer(), from_host(labels_, {batch}, device)).loss.item());
    }
    run_steps(3);  // eager, recorded, replayed
  }

  void run_steps(int steps) {
    for (int i = 0; i < steps; ++i) step();
    device_.synchronize();
  }

  Json run(double seconds, int each) {
    run_steps(2 * each);
    Json times = Json::array();
    const Clock::time_point begin = Clock::now();
    while (seconds_since(begin) < seconds || times.size() < 3) {
      const Clock::time_point start = Clock::now();
      run_steps(each);
      times.push_back(std::round(1e8 * seconds_since(start) / each) / 1e5);
    }
    const nn::Replayer::Counts& counts = training_step_ ? training_step_->counts() : inference_->counts();
    return {{"times_ms", times}, {"losses", losses_}, {"replayed", counts.replayed}};
  }

 private:
  void step() {
    if (training_)
      train();
    else
      infer();
  }

  Tensor train() {
    return (*training_step_)({.input = pictures_.in(training_step_->input_place()),
                              .labels = labels_,
                              .rates = {.lr = {race::kRate}, .momentum = race::kMomentum},
                              .number = number_++,
                              .scaler = scaler_ ? &*scaler_ : nullptr});
  }

  Tensor infer() { return (*inference_)(pictures_.in(inference_->input_place())); }

  Device& device_;
  bool training_;
  nn::ResNet model_;
  nn::LastingInput pictures_;
  std::vector<int64_t> labels_;
  std::optional<nn::Adam> adam_;
  std::optional<amp::GradScaler> scaler_;
  std::optional<nn::TrainingStep> training_step_;
  std::optional<nn::Inference> inference_;
  std::vector<double> losses_;
  int64_t number_ = 0;
};

/// All requested races are kept, so that returning to one costs nothing.
class Races {
 public:
  explicit Races(Device& device) : device_(device) {}

  Json answer(const std::string& line) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "about") return {{"version", "Mirilla"}, {"device", device_.description()}};
    if (what == "ceilings") return ceilings(std::string(device_.name()));
    const Clock::time_point start = Clock::now();
    if (what != "prepare" && what != "race") throw UsageError(fmt::format("'{}' is not understood", what));
    Race& race = find(words);
    if (what == "prepare") return {{"seconds", seconds_since(start)}};
    double seconds = 0;
    int each = 0;
    if (!(words >> seconds >> each) || each < 1) throw UsageError(fmt::format("expected seconds and steps after '{}'", line));
    return race.run(seconds, each);
  }

  Race& find(std::istringstream& words) {
    std::string kind, precision;
    int64_t batch = 0, size = 0;
    if (!(words >> kind >> batch >> size >> precision) || batch < 1 || size < 32 || (kind != "train" && kind != "infer"))
      throw UsageError("expected train or infer, a batch, a size of 32 or more, and a precision");
    const std::string key = fmt::format("{} {} {} {}", kind, batch, size, precision);
    std::unique_ptr<Race>& race = races_[key];
    if (!race) race = std::make_unique<Race>(device_, kind == "train", batch, size, precision_named(precision));
    return *race;
  }

 private:
  Device& device_;
  std::map<std::string, std::unique_ptr<Race>> races_;
};

double best_seconds(Device& device, int times, const std::function<void()>& work) {
  work();
  device.synchronize();
  double best = INFINITY;
  for (int i = 0; i < times; ++i) {
    const Clock::time_point start = Clock::now();
    work();
    device.synchronize();
    best = std::min(best, seconds_since(start));
  }
  return best;
}

}  // namespace

Json ceilings(const std::string& name) {
  constexpr int kTimes = 20;
  Device& device = open_device(name);
  const bool gpu = !device.host_addressable();
  const int64_t bytes = gpu ? int64_t{1} << 30 : int64_t{1} << 22, side = gpu ? 8192 : 64;
  const double copy = [&] {
    const Tensor from = zeros({bytes}, DType::u8, device);
    Tensor to = empty({bytes}, DType::u8, device);
    return best_seconds(device, kTimes, [&] { to.copy_from(from); });
  }();
  const DType dtype = gpu ? DType::f16 : DType::f32;
  const Tensor a = from_host(race::values("a", side * side, 1), {side, side}, device).to(dtype);
  const Tensor b = from_host(race::values("b", side * side, 1), {side, side}, device).to(dtype);
  Tensor y = empty({side, side}, dtype, device);
  const double product = best_seconds(device, kTimes, [&] { device.backend().run(op::Matmul{a, b, {}, y}); });
  const double flop = 2 * static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
  return {{"copy_bytes_per_s", 2 * static_cast<double>(bytes) / copy}, {"half_flop_per_s", flop / product}};
}

Json kernels(const std::string& device, const std::string& words) {
  constexpr int kSteps = 10;
  Races races(open_device(device));
  std::istringstream line(words);
  Race& race = races.find(line);
  KernelRecorder recorder;
  race.run_steps(kSteps);
  Json rows = Json::array();
  for (const KernelTime& time : recorder.take())
    rows.push_back({{"kernel", time.kernel}, {"calls", time.calls}, {"ms", std::round(1e5 * time.ms) / 1e5}});
  return {{"steps", kSteps}, {"kernels", rows}};
}

void serve(const std::string& device) {
  Races races(open_device(device));
  for (std::string line; std::getline(std::cin, line);) {
    Json document;
    try {
      document = races.answer(line);
    } catch (const std::exception& error) {  // the next question may succeed
      document = {{"error", error.what()}};
    }
    std::cout << "> " << document.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}

}  // namespace mirilla::gpu_check
