// SPDX-License-Identifier: MIT
// What changes the weights, against fastai's Learner: schedules, Adam, the scaler of mixed precision. tests/oracle/make_training.py says
// what is in the files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/devices.h"
#include "nn/train/freeze.h"
#include "nn/train/learner.h"
#include "tests/nn/synthetic.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

namespace mirilla::parity {
namespace {

const std::string kOracle = MIRILLA_SOURCE_DIR "/tests/oracle/training/";

double relative(double came, double wanted) { return std::abs(came - wanted) / std::abs(wanted); }

/// The largest relative difference of any group's rate, or of the momentum, over all steps; infinite where the numbers of steps differ.
double schedule_difference(const weights::StateDict& oracle, const std::string& name, const std::string& positions) {
  const auto attributes = nlohmann::json::parse(oracle.metadata.at(name));
  const int64_t batches = attributes["batches"];
  const std::span<const double> lr = oracle.at(name + ".lr" + positions).values<double>();
  const std::span<const double> momentum = oracle.at(name + ".momentum" + positions).values<double>();
  double worst = 0;
  size_t step = 0;
  for (const nn::Phase& phase : nn::fine_tune_phases(3, attributes["epochs"], 1e-3))
    for (int epoch = 0; epoch < phase.epochs; ++epoch)
      for (int64_t i = 0; i < batches; ++i, ++step) {
        const nn::Rates rates = phase.cycle.at(nn::position_of(epoch, i, phase.epochs, batches));
        if (step >= momentum.size() || rates.lr.size() != 3) return std::numeric_limits<double>::infinity();
        for (size_t g = 0; g < 3; ++g) worst = std::max(worst, relative(rates.lr[g], lr[3 * step + g]));
        worst = std::max(worst, relative(rates.momentum, momentum[step]));
      }
  return step == momentum.size() ? worst : std::numeric_limits<double>::infinity();
}

TEST(ScheduleParity, EveryRateAndMomentumOfFineTune) {
  const weights::StateDict oracle = weights::read_safetensors(kOracle + "schedule.safetensors");
  const std::string against = oracle.metadata.at("made_with"), unit = "of the rate, the largest";
  const struct {
    std::string name, what;
  } cases[] = {{"course", "every step's rate per group and momentum of fine_tune(10, 1e-3), 24 batches an epoch"},
               {"long", "the same of fine_tune(1, 1e-3), 104 batches an epoch, where the frozen phase falls again"}};
  for (const auto& [name, what] : cases) {
    report({"schedule." + name, what, against, schedule_difference(oracle, name, ""), 2.5e-5, unit,
            "fastai computes positions in f32, ours are double"});
    report({"schedule." + name + "-f64", what, against + ", its positions in float64", schedule_difference(oracle, name, ".f64"), 1e-11,
            unit, "double; fastai adds up a position batch by batch, and near the end a rate is what is left of it"});
  }
}

/// A model used only for its parameters: Conv2d, BatchNorm2d, Linear, BatchNorm1d, Linear.
class Parameters final : public nn::Module {
 public:
  explicit Parameters(nn::Placement placement)
      : layers_{&add("0", std::make_unique<nn::Conv2d>(nn::Conv2d::Spec{.in = 5, .out = 2, .kernel = 3}, placement)),
                &add("1", std::make_unique<nn::BatchNorm2d>(2, placement)), &add("2", std::make_unique<nn::Linear>(7, 5, true, placement)),
                &add("3", std::make_unique<nn::BatchNorm1d>(3, placement)),
                &add("4", std::make_unique<nn::Linear>(3, 1, true, placement))} {}
  std::string_view kind() const override { return "Parameters"; }
  std::vector<std::vector<nn::NamedTensor>> groups() const {
    std::vector<std::vector<nn::NamedTensor>> groups(3);
    for (const nn::NamedTensor& named : parameters()) groups[named.name < "2" ? 0 : named.name < "3" ? 1 : 2].push_back(named);
    return groups;
  }

 protected:
  Tensor forward(const Tensor& x) override { return x; }

 private:
  std::vector<nn::Module*> layers_;
};

class AdamParity {
 public:
  AdamParity(const char* device, DType dtype) : placement_{.device = open_device(device), .dtype = dtype} {
    for (nn::NamedTensor named : parameters_) named.tensor.copy_from(tensor_of(named.name, named.tensor.shape(), false));
  }

  /// The largest distance of any parameter after any of the stored steps, and of the moments at the end, relative to the tensor's norm;
  /// infinite where the counts of steps differ.
  double difference() {
    const std::span<const double> rates = oracle_.at("rates").values<double>(), momenta = oracle_.at("momenta").values<double>();
    double worst = 0;
    nn::freeze(model_, adam_);
    for (int t = 0; t < kSteps; ++t) {
      if (t == kFrozenSteps) nn::unfreeze(model_, adam_);
      set_gradients(t);
      const double* const lr = rates.data() + 3 * t;
      adam_.step({.lr = {lr[0], lr[1], lr[2]}, .momentum = momenta[static_cast<size_t>(t)]});
      const std::string after = fmt::format("after{}.", t + 1);
      for (const nn::NamedTensor& named : parameters_)
        if (oracle_.contains(after + named.name)) worst = std::max(worst, distance(after + named.name, named.tensor));
    }
    for (const nn::AdamSlot& slot : adam_.state()) {
      worst = std::max({worst, distance("m." + slot.name, slot.m), distance("v." + slot.name, slot.v)});
      if (slot.steps() != oracle_.at("steps." + slot.name).values<int64_t>()[0]) return std::numeric_limits<double>::infinity();
    }
    return worst;
  }

  const std::string& made_with() const { return oracle_.metadata.at("made_with"); }
  const std::string& fastais_f32() const { return oracle_.metadata.at("f32"); }

 private:
  static constexpr int kSteps = 50, kFrozenSteps = 15;

  void set_gradients(int t) {
    adam_.zero_grad();
    for (size_t i = 0; i < parameters_.size(); ++i) {
      nn::NamedTensor& named = parameters_[i];
      const bool without = !named.tensor.requires_grad() || (t >= kFrozenSteps && (t + static_cast<int>(i)) % 7 == 0);
      if (!without) named.tensor.set_grad(tensor_of(fmt::format("{}.gradient.{}", named.name, t), named.tensor.shape(), true));
    }
  }
  Tensor tensor_of(const std::string& name, const Shape& shape, bool tens) {
    constexpr double kTens[] = {1, .1, .01, 1e-3, 1e-4};
    std::vector<float> values;
    for (const double u : test::units(name, shape.numel()))
      values.push_back(static_cast<float>((2 * u - 1) * (tens ? kTens[values.size() % 5] : 1)));
    return from_host(values, shape, placement_.device).to(placement_.dtype);
  }
  double distance(const std::string& name, const Tensor& tensor) const {
    const std::span<const double> wanted = oracle_.at(name).values<double>();
    const std::vector<double> came = tensor.to_doubles();
    double difference = 0, norm = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      difference += (came.at(i) - wanted[i]) * (came[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
    return std::sqrt(difference / norm);
  }

  weights::StateDict oracle_ = weights::read_safetensors(kOracle + "adam.safetensors");
  nn::Placement placement_;
  Parameters model_{placement_};
  std::vector<nn::NamedTensor> parameters_ = model_.parameters();
  nn::Adam adam_{model_.groups()};
};

TEST(AdamParity, FiftyStepsFrozenAndUnfrozen) {
  const std::string what = "50 steps of Adam over odd shapes: momentum changing, frozen groups, missing gradients, reset at unfreeze, ";
  const std::string unit = "of the tensor's norm, the largest of parameters and moments";
  AdamParity reference("reference", DType::f64), cpu("cpu", DType::f32), simt("simt", DType::f32);
  report({"adam.f64", what + "in double", reference.made_with() + " in float64", reference.difference(), 1e-13, unit,
          "double; one formula written two ways"});
  const std::string because =
      "f32 holds parameters and moments to 6e-8, and steps add up; fastai's own f32 is " + cpu.fastais_f32() + " off";
  report({"adam.f32", what + "f32 on the cpu", cpu.made_with() + " in float64", cpu.difference(), 1e-6, unit, because});
  report({"adam.f32-simt", what + "f32 through the CUDA kernel on the executor", simt.made_with() + " in float64", simt.difference(), 1e-6,
          unit, because});
}

nlohmann::json scaler_oracle() {
  std::ifstream file(kOracle + "scaler.json");
  return nlohmann::json::parse(file);
}

/// Expands runs: [value, how often], or [first value, how many, rising by one].
std::vector<double> written_out(const nlohmann::json& runs, double rise) {
  std::vector<double> values;
  for (const auto& run : runs)
    for (int i = 0; i < run[1]; ++i) values.push_back(run[0].get<double>() + rise * i);
  return values;
}

/// How many scales, streaks or decisions to skip a step differ from fastai's in one fit.
int64_t scaler_differences(Device& device, int64_t interval, const nlohmann::json& fit) {
  const std::vector<int> skipped = fit["skipped"];
  const std::vector<double> scales = written_out(fit["scales"], 0), streaks = written_out(fit["streaks"], 1);
  Tensor parameter = zeros({3}, DType::f32, device);
  parameter.set_requires_grad();
  nn::Adam adam({{{"p", parameter}}});
  constexpr int64_t kUsual = 2000;
  amp::GradScaler scaler = interval == kUsual ? amp::GradScaler(device) : amp::GradScaler(device, {.spec = {.interval = interval}});
  int64_t differences = scaler.scale() != fit["begin"].get<double>();
  int64_t taken = 0;
  for (int t = 0; t < fit["steps"]; ++t) {
    const bool is_planted = std::find(skipped.begin(), skipped.end(), t) != skipped.end();
    const std::vector<float> gradient{1, is_planted ? std::numeric_limits<float>::infinity() : 2, 3};
    parameter.set_grad(from_host(gradient, {3}, device));
    adam.step({.lr = {1e-3}, .momentum = 0.9}, &scaler);
    taken += !is_planted;
    const std::vector<float> state = scaler.state().to_vector<float>();
    const auto i = static_cast<size_t>(t);
    differences += state[0] != scales.at(i);
    differences += state[3] != streaks.at(i);
    differences += scaler.overflowed() != is_planted;
    differences += (adam.state()[0].step ? adam.state()[0].steps() : 0) != taken;
  }
  return differences;
}

TEST(ScalerParity, MovesTheScaleAsPyTorchs) {
  const nlohmann::json oracle = scaler_oracle();
  int64_t short_ones = 0, long_one = 0;
  for (const auto& scaler_case : oracle["cases"])
    for (const auto& fit : scaler_case["fits"]) {
      const int64_t interval = scaler_case["interval"];
      if (interval == 2000)
        long_one += scaler_differences(open_device("cpu"), interval, fit);
      else
        for (const char* device : {"reference", "cpu", "simt"}) short_ones += scaler_differences(open_device(device), interval, fit);
    }
  const std::string unit = "scales, streaks and steps left out that differ", because = "scales are powers of two, the rest counts";
  report({"scaler.sequence", "GradScaler over planted overflows, growing after 5 good steps and after 1: on reference, cpu, simt",
          oracle["made_with"], static_cast<double>(short_ones), 0, unit, because});
  report({"scaler.two-thousand", "GradScaler over 2110 steps as it comes: three overflows, then it grows after 2000 good steps",
          oracle["made_with"], static_cast<double>(long_one), 0, unit, because});
}

/// The scale at the beginning of each fit, and after its last step.
class Scales final : public nn::Callback {
 public:
  explicit Scales(const nn::Learner& learner) : learner_(learner) {}
  Order order() const override { return Order::show; }
  void begin_fit(const nn::FitPlan&) override { begin.push_back(learner_.scaler()->scale()); }
  void after_fit() override { end.push_back(learner_.scaler()->scale()); }
  std::vector<double> begin, end;

 private:
  const nn::Learner& learner_;
};

TEST(ScalerParity, BeginsAnewInEachFit) {
  constexpr double kTooMuch = 0x1p60;  // overflows whatever the network does
  constexpr int kClasses = 2, kSize = 32, kPictures = 2;
  nn::ResNet model({.classes = kClasses, .seed = 3}, {.device = open_device("cpu")});
  nn::Learner learner(model, std::make_unique<nn::StripedBatches>(kPictures, kPictures, kSize, kClasses),
                      std::make_unique<nn::StripedBatches>(kPictures, kPictures, kSize, kClasses), nn::small_info(kClasses, kSize),
                      {.augmentation = false, .precision = amp::Precision::fp16, .scaler = {.initial = kTooMuch}});
  Scales scales(learner);
  learner.add(scales);
  learner.fine_tune(1, 1e-3);
  const nlohmann::json oracle = scaler_oracle();
  const auto& fits = oracle["cases"][0]["fits"];
  const auto begin = [&](size_t fit) { return fits[fit]["begin"].get<double>() / fits[0]["begin"].get<double>(); };
  ASSERT_EQ(scales.begin.size(), 2u);
  EXPECT_EQ(scales.end[0], kTooMuch / 2) << "without an overflow in the first fit the second proves nothing";
  EXPECT_NE(fits[0]["scales"].back()[0], fits[0]["begin"]);
  report({"scaler.each-fit", "the scale at the beginning of fine_tune's two fits, after overflows in the first", oracle["made_with"],
          std::abs(scales.begin[0] / kTooMuch - begin(0)) + std::abs(scales.begin[1] / kTooMuch - begin(1)), 0, "of the first scale",
          "MixedPrecision makes a new scaler before each fit"});
}

}  // namespace
}  // namespace mirilla::parity
