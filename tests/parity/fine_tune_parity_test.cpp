// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <limits>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/parity/fine_tune.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// fine_tune from end to end against fastai's. tests/oracle/make_fine_tune.py describes the files.
namespace mirilla::parity {
namespace {

class Oracle {
 public:
  explicit Oracle(const std::string& name) : state_(weights::read_safetensors(kFineTuneFolder + name)) {}
  std::span<const double> at(const std::string& name) const { return state_.at(name).values<double>(); }
  /// A tensor's row of `moved`, with a suffix.
  std::span<const double> moved(const std::string& tensor, const std::string& suffix = "") const {
    std::istringstream names(state_.metadata.at("tensors"));
    size_t row = 0;
    for (std::string name; names >> name; ++row)
      if (name == tensor) return at("moved" + suffix).subspan(row * (1 + kMovedSums), 1 + kMovedSums);
    throw Error("the oracle does not know " + tensor);
  }
  std::string made_with() const { return state_.metadata.at("made_with"); }
  std::vector<std::string> lines() const {
    std::istringstream text(state_.metadata.at("lines"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

 private:
  weights::StateDict state_;
};

std::vector<double> losses_of(const nn::Recorder& recorder) {
  std::vector<double> losses;
  for (const nn::StepRow& step : recorder.steps()) losses.push_back(step.loss);
  return losses;
}

// The largest relative difference; infinite where one has more numbers than the other.
double relative_difference(std::span<const double> came, std::span<const double> wanted) {
  if (came.size() != wanted.size()) return std::numeric_limits<double>::infinity();
  Worst worst;
  for (size_t i = 0; i < came.size(); ++i) worst.add(std::abs(came[i] - wanted[i]) / std::abs(wanted[i]));
  return worst.value();
}

double difference_of_losses(const nn::Recorder& recorder, const Oracle& oracle) {
  std::vector<double> train_loss, valid_loss;
  for (const nn::StepRow& step : recorder.steps()) train_loss.push_back(step.train_loss);
  for (const nn::EpochRow& row : recorder.epochs()) valid_loss.push_back(row.valid_loss);
  Worst worst;
  worst.add(relative_difference(losses_of(recorder), oracle.at("loss")));
  worst.add(relative_difference(train_loss, oracle.at("train_loss")));
  worst.add(relative_difference(valid_loss, oracle.at("valid_loss")));
  return worst.value();
}

TEST(FineTuneParity, InDoubleTenStepsAreFastais) {
  const Oracle oracle("ten_steps.safetensors");
  FineTune run({.device = open_device("reference"), .dtype = DType::f64}, 36, 4, cycled(8), cycled(6));
  run.learner.fine_tune(4, 1e-3);
  report({.id = "fine-tune.ten-steps-losses",
          .what = "fine_tune(4, 1e-3) of ResNet18 in double, 2 frozen steps and 8 unfrozen: every loss, smoothed loss and validation loss",
          .against = oracle.made_with(),
          .measured = difference_of_losses(run.learner.recorder(), oracle),
          .tolerance = 1e-8,
          .unit = "of the value",
          .tolerance_because = "both in double: what is left are sums in another order, and ten steps that let them grow"});

  Worst worst;
  for (const nn::NamedTensor& named : parameters_and_buffers(run.model)) {
    const Moved came = moved(named);
    const std::span<const double> wanted = oracle.moved(named.name);
    worst.add(std::abs(came[0] - wanted[0]) / wanted[0]);
    worst.add(distance(came, wanted) / wanted[0]);
  }
  report({.id = "fine-tune.ten-steps-weights",
          .what = "what each of the 110 parameters and running statistics moved in those ten steps",
          .against = oracle.made_with(),
          .measured = worst.value(),
          .tolerance = 1e-8,
          .unit = "of the norm of the tensor's movement",
          .tolerance_because = "as above; relative to the movement, which is a thousandth of the weights"});

  EXPECT_EQ(run.lines(), oracle.lines());
  report({.id = "fine-tune.ten-steps-lines",
          .what = "the table of those two fits as printed, with the times masked",
          .against = oracle.made_with(),
          .measured = differing_lines(run.lines(), oracle.lines()),
          .tolerance = 0,
          .unit = "lines that differ",
          .tolerance_because = "text"});
}

// The distance of `came` from PyTorch's losses, in units of the distance between PyTorch's losses in two layouts, up to the same step. Up
// to, and not at that step: two chaotic runs sometimes meet by chance.
double in_units_of_itself(std::span<const double> came, std::span<const double> wanted, std::span<const double> other) {
  if (came.size() != wanted.size()) return std::numeric_limits<double>::infinity();
  Worst worst;
  double itself = 0;
  for (size_t i = 0; i < came.size(); ++i) {
    itself = std::max(itself, std::abs(other[i] - wanted[i]));
    worst.add(std::abs(came[i] - wanted[i]) / itself);
  }
  return worst.value();
}

TEST(FineTuneParity, InFloatFortyStepsAreAsNearToPyTorchAsItIsToItself) {
  const Oracle oracle("forty_losses.safetensors");
  FineTune run({.device = open_device("cpu")}, 64, 8, cycled(32), cycled(12));
  run.learner.fine_tune(9, 1e-3);
  report({.id = "fine-tune.forty-losses",
          .what = "fine_tune(9, 1e-3) of ResNet18 in f32 on the host, 4 frozen steps and 36 unfrozen: each loss",
          .against = oracle.made_with(),
          .measured = in_units_of_itself(losses_of(run.learner.recorder()), oracle.at("loss"), oracle.at("loss.channels_last")),
          .tolerance = 10,
          .unit = "of the largest difference, up to that step, between PyTorch's run and its own in channels_last",
          .tolerance_because = "f32 training is chaotic: PyTorch's two layouts are all it promises of itself"});

  Worst worst;
  for (const nn::NamedTensor& named : parameters_and_buffers(run.model)) {
    const std::span<const double> wanted = oracle.moved(named.name);
    worst.add(distance(moved(named), wanted) / distance(oracle.moved(named.name, ".channels_last"), wanted));
  }
  report({.id = "fine-tune.forty-weights",
          .what = "where those forty steps lead each of the 110 parameters and running statistics",
          .against = oracle.made_with(),
          .measured = worst.value(),
          .tolerance = 10,
          .unit = "of the distance of the same tensor between PyTorch's run and its own in channels_last",
          .tolerance_because = "as above; the worst tensor counts"});
}

}  // namespace
}  // namespace mirilla::parity
