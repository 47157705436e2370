// SPDX-License-Identifier: MIT
// Watching: what it shows, on every device, in every mode; that it changes nothing and leaves nothing; and the known problems of hooks,
// each by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/amp/autocast.h"
#include "engine/amp/grad_scaler.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "kernels/devices.h"
#include "nn/modules/layers.h"
#include "tests/nn/modules/capture_network.h"

namespace mirilla::nn {
namespace {

double largest_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

// The distance of a from b, relative to b's norm.
double distance(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_doubles(), y = b.to_doubles();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < y.size(); ++i) difference += (x.at(i) - y[i]) * (x.at(i) - y[i]), norm += y[i] * y[i];
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

struct Where {
  std::string device;
  DType precision = DType::f32;
};

std::vector<Where> everywhere() {
  std::vector<Where> all;
  for (const std::string& device : device_names())
    for (const DType precision : {DType::f32, DType::f16}) all.push_back({device, precision});
  return all;
}

enum class Mode { training, evaluation, inference };  // inference: evaluation inside NoGrad, with folded batch norms
constexpr Mode kModes[] = {Mode::training, Mode::evaluation, Mode::inference};

/// One forward and backward pass with every module watched, or none.
struct Pass {
  std::vector<double> logits;
  std::vector<Tensor> activations, gradients;  // of every call, in the order of modules()
  std::vector<Tensor> parameters;              // their gradients
};

Pass pass(Device& device, DType dtype, DType autocast, Mode mode, bool watched, double scale = 0) {
  SmallNetwork model({.device = device, .dtype = dtype});
  model.train(mode == Mode::training);
  std::optional<tape::NoGrad> no_grad;
  if (mode == Mode::inference) no_grad.emplace();
  std::vector<Watch> watches;
  if (watched) watches = model.watch_all("**");
  const amp::Autocast scope(autocast);
  std::optional<amp::GradScaler> scaler;
  if (scale != 0) scaler.emplace(device, amp::GradScalerOptions{.initial = scale});
  const Tensor logits = model(noise(6, dtype, device));
  const Tensor loss = cross_entropy(logits, from_host(std::vector<int64_t>{2, 0, 1, 1, 0, 2}, {6}, device)).loss;
  Pass result{.logits = logits.to_doubles(), .activations = {}, .gradients = {}, .parameters = {}};
  if (mode == Mode::inference && !watched) return result;
  tape::backward(loss, {.factor = scaler ? scaler->factor() : nullptr});
  for (const Watch& watch : watches)
    for (size_t call = 0; call < watch.calls(); ++call) {
      result.activations.push_back(watch.activation(call));
      result.gradients.push_back(watch.gradient(call));
    }
  for (const NamedTensor& parameter : model.parameters()) result.parameters.push_back(parameter.tensor.grad());
  return result;
}

class CaptureEverywhere : public testing::TestWithParam<Where> {
 protected:
  Device& device_ = open_device(GetParam().device);
  DType precision_ = GetParam().precision;
};

INSTANTIATE_TEST_SUITE_P(Here, CaptureEverywhere, testing::ValuesIn(everywhere()),
                         [](const auto& which) { return which.param.device + "_" + std::string(name_of(which.param.precision)); });

// f32: 1e-5 of the norm is about twenty roundings in a row. f16 rounds 2^13 times as coarsely; and where this flips the sign of a ReLU's
// input, as it does in training here, a gradient is lost or gained entirely.
TEST_P(CaptureEverywhere, ShowsOfEveryCallOfEveryModuleWhatTheReferenceHasInDouble) {
  const bool half = precision_ == DType::f16;
  for (const Mode mode : kModes) {
    SCOPED_TRACE(static_cast<int>(mode));
    const Pass want = pass(open_device("reference"), DType::f64, DType::f32, mode, true);
    const Pass came = pass(device_, DType::f32, precision_, mode, true, half ? 1024 : 0);
    ASSERT_EQ(came.activations.size(), want.activations.size());
    ASSERT_EQ(want.activations.size(), SmallNetwork::kCalls);
    for (size_t i = 0; i < want.activations.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_EQ(came.activations[i].shape(), want.activations[i].shape());
      EXPECT_LT(distance(came.activations[i], want.activations[i]), half ? 4e-3 : 1e-5);
      EXPECT_GT(largest_of(want.gradients[i].to_doubles()), 0);
      EXPECT_LT(distance(came.gradients[i], want.gradients[i]), !half ? 1e-5 : mode == Mode::training ? 0.15 : 0.02);
    }
  }
}

TEST_P(CaptureEverywhere, ChangesNoBitOfAnyResult) {
  for (const Mode mode : kModes) {
    SCOPED_TRACE(static_cast<int>(mode));
    const Pass alone = pass(device_, DType::f32, precision_, mode, false), watched = pass(device_, DType::f32, precision_, mode, true);
    EXPECT_EQ(watched.logits, alone.logits);
    for (size_t i = 0; i < alone.parameters.size(); ++i)
      EXPECT_EQ(watched.parameters[i].to_doubles(), alone.parameters[i].to_doubles()) << "the gradient of parameter " << i;
  }
}

// Exact: a scale is a power of two, and no value here is near the ends of f16.
TEST_P(CaptureEverywhere, GivesGradientsWithoutTheScale) {
  const Pass one = pass(device_, DType::f32, precision_, Mode::training, true, 256),
             other = pass(device_, DType::f32, precision_, Mode::training, true, 1024);
  for (size_t i = 0; i < one.gradients.size(); ++i) {
    EXPECT_EQ(one.gradients[i].dtype(), DType::f32);
    EXPECT_LT(distance(one.gradients[i], other.gradients[i]), precision_ == DType::f32 ? 1e-12 : 2e-3) << i;
  }
}

TEST(CaptureOnEachDevice, ALogitMovesAsTheGradientSays) {
  for (const std::string& name : device_names()) {
    SCOPED_TRACE(name);
    Device& device = open_device(name);
    SmallNetwork model({.device = device});
    model.evaluate();
    const tape::NoGrad no_grad;
    const Watch layer1 = model.watch("layer1");
    tape::backward(pick(model(noise(1, DType::f32, device)), 1));
    const std::vector<float> gradient = layer1.gradient().to_vector<float>(), at = layer1.activation().to_vector<float>();
    double slope = 0;
    for (const float g : gradient) slope += static_cast<double>(g) * g;
    const auto logit_at = [&](double step) {
      std::vector<float> moved(at);
      for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(step / std::sqrt(slope)) * gradient[i];
      return model.after_layer1(from_host(moved, layer1.activation().shape(), device)).to_doubles()[1];
    };
    constexpr double kStep = 1e-2;
    EXPECT_NEAR((logit_at(kStep) - logit_at(-kStep)) / (2 * kStep), std::sqrt(slope), 0.02 * std::sqrt(slope));
  }
}

class Capturing : public testing::Test {
 protected:
  void SetUp() override { model_.evaluate(); }
  Device& device_ = open_device("cpu");
  SmallNetwork model_{{.device = device_}};
  const Tensor pictures_ = noise(3, DType::f32, device_);
  const Allocator& memory_ = Allocator::of(device_);
};

std::vector<std::string> names_of(const std::vector<Watch>& watches) {
  std::vector<std::string> names;
  for (const Watch& watch : watches) names.push_back(watch.name());
  return names;
}

using Names = std::vector<std::string>;

TEST_F(Capturing, TakesTorchvisionsNamesIndexPathsAndPatterns) {
  EXPECT_EQ(model_.watch("layer1.0.relu").name(), "layer1.0.relu");
  EXPECT_EQ(model_.watch("layer1[-1].bn2").name(), "layer1.1.bn2");
  EXPECT_EQ(model_.watch("head[-1]").name(), "head.5");
  EXPECT_EQ(model_.watch("model.layer1[0].conv1").name(), "layer1.0.conv1");
  EXPECT_EQ(model_.watch("").name(), "");
}

TEST_F(Capturing, TakesSeveralAtOnceInTheRequestedOrderAndEachOnce) {
  EXPECT_EQ(names_of(model_.watch_all("head.1", "conv1", "*.1")), (Names{"head.1", "conv1", "layer1.1"}));
  EXPECT_EQ(names_of(model_.watch_all("layer*.?.relu")), (Names{"layer1.0.relu", "layer1.1.relu"}));
  EXPECT_EQ(names_of(model_.watch_all({"layer1[-1].bn?", "bn1"})), (Names{"layer1.1.bn1", "layer1.1.bn2", "bn1"}));
  EXPECT_EQ(names_of(model_.watch_all("**.bn1")), (Names{"layer1.0.bn1", "layer1.1.bn1"}));
  EXPECT_EQ(names_of(model_.watch_all("*1")), (Names{"conv1", "bn1", "layer1"})) << "a star does not reach over dots";
  EXPECT_EQ(model_.watch_all("**").size(), model_.modules().size() - 1);
  EXPECT_FALSE(model_.any_watched()) << "those handles are gone";
}

TEST_F(Capturing, ListsTheKnownNamesIfOneIsUnknown) {
  for (const char* name : {"layer9", "layer1.7", "layer1[2]", "layer1[-3]", "head[x]", "head[1", "head]1[", "head[]", ".conv1", "conv1.",
                           "layer1..0", "layer1[0]relu", "layer1.0[0]", "model", "layer*", "layer?.0"})
    EXPECT_THROW(model_.watch(name), UsageError) << name;
  for (const char* pattern : {"layer9*", "layer*.conv1", "layer1[0].x*", "layer9[0].*"})
    EXPECT_THROW(model_.watch_all(pattern), UsageError) << pattern;
  try {
    model_.watch("layer1.0.conv9");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("conv1, bn1, relu, conv2, bn2"), std::string::npos) << error.what();
  }
}

// --- The sores of hooks ------------------------------------------------------------------------------------------------------------------

TEST_F(Capturing, FrozenModel) {
  const auto gradient = [&] {
    const Watch layer1 = model_.watch("layer1");
    tape::backward(pick(model_(pictures_), 1));
    return layer1.gradient();
  };
  const Tensor free = gradient();
  for (NamedTensor parameter : model_.parameters()) parameter.tensor.set_requires_grad(false).clear_grad();
  EXPECT_LT(distance(gradient(), free), 1e-5);
  const tape::NoGrad no_grad;
  EXPECT_LT(distance(gradient(), free), 1e-5);
  for (const NamedTensor& parameter : model_.parameters()) EXPECT_FALSE(parameter.tensor.grad()) << parameter.name;
}

TEST_F(Capturing, InPlaceReLU) {
  // For a norm with an in-place ReLU, a hook sees the ReLU's output. Here the two are even one operation.
  for (const Mode mode : kModes) {
    SCOPED_TRACE(static_cast<int>(mode));
    model_.train(mode == Mode::training);
    std::optional<tape::NoGrad> no_grad;
    if (mode == Mode::inference) no_grad.emplace();
    const Watch norm = model_.watch("layer1.0.bn1"), relu = model_.watch("layer1.0.relu");
    tape::backward(pick(model_(pictures_), 1));
    const std::vector<double> before = norm.activation().to_doubles(), after = relu.activation(0).to_doubles(),
                              gradient_before = norm.gradient().to_doubles(), gradient_after = relu.gradient(0).to_doubles();
    EXPECT_LT(*std::min_element(before.begin(), before.end()), -0.1);
    const double size = largest_of(after);
    for (size_t i = 0; i < before.size(); ++i) {
      ASSERT_NEAR(after[i], std::max(before[i], 0.0), 1e-5 * size);
      ASSERT_EQ(gradient_before[i], after[i] > 0 ? gradient_after[i] : 0);
    }
  }
}

TEST_F(Capturing, AnOutputThatWasOverwrittenIsNotShownAsIfItHadBeenThatWay) {
  Scribbling network({.device = device_});
  const Watch conv = network.watch("conv"), scribble = network.watch("scribble");
  network(pictures_);
  EXPECT_EQ(conv.calls(), 1u);
  EXPECT_THROW(conv.activation(), Error);
  EXPECT_THROW(conv.gradient(), Error);
  EXPECT_EQ(scribble.activation().to_doubles(), std::vector<double>(scribble.activation().to_doubles().size(), 0.5));
}

TEST_F(Capturing, RepeatedModule) {
  const Watch relu = model_.watch("layer1.1.relu"), block = model_.watch("layer1.1");
  tape::backward(pick(model_(pictures_), 0));
  ASSERT_EQ(relu.calls(), 2u);
  EXPECT_NE(relu.activation(0).to_doubles(), relu.activation(1).to_doubles());
  EXPECT_NE(relu.gradient(0).to_doubles(), relu.gradient(1).to_doubles());
  EXPECT_EQ(relu.activation(1).to_doubles(), block.activation().to_doubles()) << "the second call is what the block gives";
  EXPECT_EQ(relu.gradient(1).to_doubles(), block.gradient().to_doubles());
  EXPECT_THROW(relu.activation(2), Error);
  model_(pictures_);
  EXPECT_EQ(relu.calls(), 2u) << "a new pass begins anew";
}

TEST_F(Capturing, RepeatedModuleThatIsNoChildOfTheRoot) {
  // A teacher runs inside its student's pass and belongs to no module tree: its calls must not accumulate from pass to pass.
  SmallNetwork teacher({.device = device_});
  Student student(teacher);
  const Watch layer1 = teacher.watch("layer1");
  for (int round = 0; round < 3; ++round) {
    student(pictures_);
    EXPECT_EQ(layer1.calls(), 2u) << "it runs twice a pass";
  }
}

TEST_F(Capturing, BatchOfDifferentTargets) {
  const std::vector<int64_t> targets{2, 0, 1};
  const Watch block = model_.watch("layer1.0");
  const Tensor logits = model_(pictures_);
  std::vector<float> seed(static_cast<size_t>(logits.numel()), 0);
  for (size_t n = 0; n < targets.size(); ++n) seed[n * SmallNetwork::kClasses + static_cast<size_t>(targets[n])] = 1;
  backward_to({&block, 1}, logits, {.seed = from_host(seed, logits.shape(), device_)});
  const Tensor together = block.gradient();
  for (int64_t n = 0; n < 3; ++n) {
    tape::backward(pick(model_(pictures_.slice(n, n + 1)), targets[static_cast<size_t>(n)]));
    EXPECT_GT(largest_of(block.gradient().to_doubles()), 0);
    EXPECT_LT(distance(together.slice(n, n + 1), block.gradient()), 1e-5) << "picture " << n;
  }
}

TEST_F(Capturing, ExceptionInTheMiddle) {
  Fragile network({.device = device_});
  const size_t before = memory_.statistics().current;
  for (const auto when : {Fragile::Breaks::forward, Fragile::Breaks::backward}) {
    SCOPED_TRACE(static_cast<int>(when));
    const Watch first = network.watch("first"), middle = network.watch("middle"), last = network.watch("last");
    network.breaks(when);
    EXPECT_THROW(
        {
          const EvaluationMode mode(network);
          const tape::NoGrad no_grad;
          const Watch inner = network.watch("last");
          tape::backward(mean(network(pictures_)));
        },
        Error);
    EXPECT_TRUE(network.training());
    EXPECT_TRUE(tape::grad_enabled());
    EXPECT_EQ(first.calls(), 1u);
    EXPECT_EQ(last.calls(), when == Fragile::Breaks::forward ? 0u : 1u);
    EXPECT_THROW(first.gradient(), Error) << "backward did not get there";
    network.breaks(Fragile::Breaks::nowhere);
    tape::backward(mean(network(pictures_)));
    for (const Watch* watch : {&first, &middle, &last}) {
      EXPECT_EQ(watch->calls(), 1u) << watch->name();
      EXPECT_GT(largest_of(watch->gradient().to_doubles()), 0) << watch->name();
    }
    for (NamedTensor parameter : network.parameters()) parameter.tensor.clear_grad();
  }
  EXPECT_FALSE(network.any_watched());
  EXPECT_EQ(memory_.statistics().current, before);
}

// --- Cost --------------------------------------------------------------------------------------------------------------------------------

// How often each operator is on the tape of a tensor.
std::map<std::string, int> tape_of(const Tensor& root) {
  std::map<std::string, int> count;
  std::set<const tape::Node*> seen;
  std::vector<const tape::Node*> rest{root.grad_state() ? root.grad_state()->producer.get() : nullptr};
  while (!rest.empty()) {
    const tape::Node* node = rest.back();
    rest.pop_back();
    if (!node || !seen.insert(node).second) continue;
    ++count[node->name];
    for (const auto& input : node->inputs)
      if (input) rest.push_back(input->producer.get());
  }
  return count;
}

TEST_F(Capturing, RecordsNothingBeforeTheEarliestWatchedModule) {
  const tape::NoGrad no_grad;
  EXPECT_FALSE(model_(pictures_).grad_state()) << "nothing at all where nobody watches";
  using Tape = std::map<std::string, int>;
  const Watch layer1 = model_.watch("layer1"), head = model_.watch("head.2");
  EXPECT_EQ(tape_of(model_(pictures_)),
            (Tape{{"adaptive_avg_pool2d", 1}, {"flatten", 1}, {"alias", 1}, {"linear", 2}, {"relu", 1}, {"batch_norm", 1}}));
  const Watch block = model_.watch("layer1.0");
  Tape tape = tape_of(model_(pictures_));
  EXPECT_EQ(tape["conv2d_bias_add_relu"], 3) << "those of layer1.1, folded as they are where nobody watches";
  EXPECT_EQ(tape["conv2d"], 0);
}

TEST_F(Capturing, ComputesOnlyRequestedParameterGradients) {
  const Watch layer1 = model_.watch("layer1.0");
  const Tensor logits = model_(pictures_);  // with gradients on, everything is on the tape
  backward_to({&layer1, 1}, logits, {.seed = full(logits.shape(), 1, DType::f32, device_)});
  EXPECT_GT(largest_of(layer1.gradient().to_doubles()), 0);
  for (const NamedTensor& parameter : model_.parameters()) EXPECT_FALSE(parameter.tensor.grad()) << parameter.name;
  const tape::NoGrad no_grad;
  tape::backward(pick(model_(pictures_), 0));
  for (const NamedTensor& parameter : model_.parameters()) EXPECT_FALSE(parameter.tensor.grad()) << parameter.name;
  EXPECT_THROW(backward_to({}, logits), Error);
}

TEST_F(Capturing, KeepsTheWatchedOutputAndNothingElse) {
  const auto bytes_of = [&](const char* name, bool gradients) -> std::pair<size_t, size_t> {
    const size_t before = memory_.statistics().current;
    std::optional<tape::NoGrad> no_grad;
    if (!gradients) no_grad.emplace();
    const Watch watch = model_.watch(name);
    model_(pictures_);
    const size_t held = memory_.statistics().current - before;
    const size_t bytes = static_cast<size_t>(watch.activation().numel()) * sizeof(float);
    return {held, (bytes + 511) / 512 * 512};
  };
  bytes_of("layer1.1.bn2", false), bytes_of("layer1.1.bn2", true);
  for (const bool gradients : {false, true}) {
    for (const char* name : {"conv1", "layer1.0", "layer1.1.bn2", "head"}) {
      const auto [held, output] = bytes_of(name, gradients);
      EXPECT_GE(held, output) << name;
      EXPECT_LE(held, 2 * output) << name << ": the allocator may give a free block that is up to twice as large, the tape holds more";
    }
  }
}

TEST_F(Capturing, ThousandCallsLeaveNothingBehind) {
  const Tensor picture = noise(1, DType::f32, device_, 8);
  const Watch standing = model_.watch("conv1");
  const auto call = [&] {
    const tape::NoGrad no_grad;
    const std::vector<Watch> watches = model_.watch_all("layer1", "layer1.0.bn1", "head.*");
    tape::backward(pick(model_(picture), 1));
    EXPECT_EQ(watches[0].gradient().shape(), watches[0].activation().shape());
    EXPECT_EQ(standing.calls(), 1u);
  };
  for (int i = 0; i < 8; ++i) call();  // until the same blocks are given out again; they may be larger than requested
  const MemoryStatistics before = memory_.statistics();
  for (int i = 0; i < 1000; ++i) call();
  const MemoryStatistics after = memory_.statistics();
  EXPECT_EQ(after.current, before.current);
  EXPECT_EQ(after.peak, before.peak);
  EXPECT_EQ(after.device_allocations, before.device_allocations) << "the same blocks go round";
}

TEST_F(Capturing, EndsWithTheHandleAndItsCopies) {
  const tape::NoGrad no_grad;
  model_(pictures_);
  model_.watch("layer1.0.bn1"), model_(pictures_);
  const size_t before = memory_.statistics().current;
  {
    std::optional<Watch> watch = model_.watch("layer1");
    const Watch copy = *watch;
    model_(pictures_);
    watch.reset();
    EXPECT_TRUE(model_.any_watched());
    EXPECT_EQ(copy.calls(), 1u);
    EXPECT_GT(memory_.statistics().current, before);
  }
  EXPECT_FALSE(model_.any_watched());
  EXPECT_EQ(memory_.statistics().current, before);
  EXPECT_FALSE(model_(pictures_).grad_state());
}

TEST_F(Capturing, AModuleThatPassesItsInputOnLeavesNoTraceOnIt) {
  // Dropout in evaluation returns its input: watching the dropout must not keep a gradient on the caller's picture.
  const tape::NoGrad no_grad;
  Dropout dropout(0.5);
  dropout.evaluate();
  const Tensor mine = noise(1, DType::f32, device_);
  {
    const Watch watch = dropout.watch("");
    tape::backward(mean(dropout(mine)));
    EXPECT_EQ(watch.activation().to_doubles(), mine.to_doubles());
    EXPECT_GT(largest_of(watch.gradient().to_doubles()), 0);
  }
  EXPECT_FALSE(mine.grad_state());
}

TEST_F(Capturing, AnActivationIsOnTheTapeWhileItsPassLives) {
  const Watch block = model_.watch("layer1.0");
  {
    const Tensor logits = model_(pictures_);
    tape::backward(mean(block.activation()));  // an auxiliary loss
    EXPECT_TRUE(model_.at("conv1").own_parameters()[0].tensor.grad());
    EXPECT_FALSE(model_.at("layer1.1.conv1").own_parameters()[0].tensor.grad());
  }
  EXPECT_GT(largest_of(block.gradient().to_doubles()), 0);
  EXPECT_FALSE(block.activation().requires_grad()) << "the pass is gone, its values are not";
}

}  // namespace
}  // namespace mirilla::nn
