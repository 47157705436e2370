// SPDX-License-Identifier: MIT
#include "nn/run/replay.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/amp/autocast.h"
#include "engine/running.h"
#include "kernels/devices.h"
#include "nn/run/inference.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/run/replay_network.h"
#include "tests/nn/wrapped_device.h"

namespace mirilla::nn {
namespace {

using replaying::kBatch;
using replaying::rates;
using replaying::Training;

constexpr uint32_t kSteps = 20, kRagged = 6, kFrozenFrom = 10;

const ReplayOptions kOn{.mode = ReplayMode::on}, kOff{.mode = ReplayMode::off};

Device& kernels() { return open_device(kernel_device()); }

// What may happen in 20 steps of a fit: changing rates, a shorter batch, a freeze midway.
Tensor take(Training& run, uint32_t number) {
  if (number == kFrozenFrom) freeze(*run.model, run.adam);
  return run.take(number, number == kRagged ? kBatch - 2 : kBatch);
}

void expect_same_bits(const Training& got, const Training& want, uint32_t number) {
  const auto a = got.everything(), b = want.everything();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(a[i].tensor.to_doubles(), b[i].tensor.to_doubles()) << a[i].name << " after step " << number;
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x * x;
  return std::sqrt(sum);
}

double apart(const Tensor& a, const Tensor& b) {
  std::vector<double> x = a.to_doubles();
  const std::vector<double> y = b.to_doubles();
  for (size_t i = 0; i < x.size(); ++i) x[i] -= y[i];
  return norm(x);
}

class Replayed : public ::testing::TestWithParam<amp::Precision> {
 protected:
  // In fp16 the first steps overflow.
  static constexpr double kScale = 0x1p22;
  Training replayed_{kernels(), GetParam(), kOn, kScale};
};
INSTANTIATE_TEST_SUITE_P(In, Replayed, ::testing::Values(amp::Precision::fp32, amp::Precision::fp16),
                         [](const auto& i) { return std::string(amp::name_of(i.param)); });

TEST_P(Replayed, TakesTwentyStepsToTheBitAsEagerStepsDo) {
  Training eager(kernels(), GetParam(), kOff, kScale);
  int overflows = 0;
  for (uint32_t number = 0; number < kSteps; ++number) {
    const double want = take(eager, number).item(), got = take(replayed_, number).item();
    ASSERT_EQ(got, want) << "the loss of step " << number;
    expect_same_bits(replayed_, eager, number);
    overflows += eager.scaler.overflowed();
  }
  const Replayer::Counts& counts = replayed_.step.counts();
  EXPECT_EQ(counts.eager, 3);     // the first, the short one, the first after the freeze
  EXPECT_EQ(counts.recorded, 2);  // before and after the freeze
  EXPECT_EQ(counts.replayed, kSteps - 3);
  EXPECT_EQ(eager.step.counts().replayed, 0);
  if (GetParam() != amp::Precision::fp16) return;
  EXPECT_GE(overflows, 3);  // the first eager, one recorded, one replayed
  EXPECT_LT(overflows, static_cast<int>(kFrozenFrom));
}

// Each step starts from the state after the previous replayed step, since two devices diverge otherwise. Adam's first step divides each
// gradient by its own size, so one that is only rounding error moves as far as any; the two are compared from the second step on. In halves
// a sum of terms that nearly cancel is rounding error for a few steps more.
TEST_P(Replayed, TakesTwentyStepsParameterByParameterAsTheReferenceDoes) {
  const double tolerance = GetParam() == amp::Precision::fp32 ? 2e-5 : 0.1;
  Training reference(open_device("reference"), GetParam(), kOff, kScale);
  double furthest = 0;
  for (uint32_t number = 0; number < kSteps; ++number) {
    const AdamSlot& slot = replayed_.adam.state().back();
    const bool first = number == kFrozenFrom || !slot.step || slot.steps() == 0;
    if (number > 0) reference.copy_from(replayed_);
    const double want = take(reference, number).item(), got = take(replayed_, number).item();
    EXPECT_NEAR(got, want, tolerance * std::abs(want)) << "step " << number;
    if (first) continue;
    EXPECT_EQ(replayed_.scaler.scale(), reference.scaler.scale());
    const auto theirs = reference.model_values(), ours = replayed_.model_values();
    for (size_t i = 0; i < theirs.size(); ++i) {
      const double a_step = rates(number).lr[1] * std::sqrt(static_cast<double>(theirs[i].tensor.numel()));
      const double size = norm(theirs[i].tensor.to_doubles()) + a_step, far = apart(ours[i].tensor, theirs[i].tensor);
      EXPECT_LE(far, tolerance * size) << theirs[i].name << " after step " << number;
      furthest = std::max(furthest, far / size);
    }
  }
  printf("furthest apart after a step from the same state: %.3g of a tensor's norm and a step\n", furthest);
}

// --- Watches -------------------------------------------------------------------------------------------------------------------------

struct Seen {
  std::vector<double> activation, gradient;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> seen_by(const std::vector<Watch>& watches) {
  std::vector<Seen> all;
  for (const Watch& watch : watches)
    for (size_t call = 0; call < watch.calls(); ++call)
      all.push_back({watch.activation(call).to_doubles(), watch.gradient(call).to_doubles()});
  return all;
}

TEST_P(Replayed, ShowsAWatchEachStepsActivationsAndGradients) {
  Training eager(kernels(), GetParam(), kOff);
  const std::vector<Watch> ours = replayed_.model->watch_all("3.bn1", "3.relu", "3", "8"),
                           theirs = eager.model->watch_all("3.bn1", "3.relu", "3", "8");
  replayed_.scaler.set_state(eager.scaler.state());
  for (uint32_t number = 0; number < 4; ++number) {
    eager.take(number);
    replayed_.take(number);
    ASSERT_EQ(ours[1].calls(), 2u);
    EXPECT_TRUE(seen_by(ours) == seen_by(theirs)) << "step " << number;
    if (number == 2) (*replayed_.model)(replaying::pictures(9, 2, {.device = kernels()}));  // a pass of another kind in between
    if (number == 2) (*eager.model)(replaying::pictures(9, 2, {.device = kernels()}));
  }
  EXPECT_EQ(replayed_.step.counts().replayed, 3);
  expect_same_bits(replayed_, eager, 3);
}

TEST(Replay, IsRecordedAnewForAWatchThatComesAndOneThatGoes) {
  Training run(kernels(), amp::Precision::fp32, kOn), eager(kernels(), amp::Precision::fp32, kOff);
  const auto both = [&](uint32_t number) {
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
    return run.step.counts();
  };
  uint32_t number = 0;
  both(number++);
  EXPECT_EQ(both(number++).recorded, 1);
  {
    const Watch block = run.model->watch("3"), wanted = eager.model->watch("3");
    EXPECT_EQ(both(number++).eager, 2);
    EXPECT_EQ(both(number++).recorded, 2);
    EXPECT_EQ(block.gradient().to_doubles(), wanted.gradient().to_doubles());
  }
  const Watch other = run.model->watch("8");
  EXPECT_EQ(both(number++).eager, 3);
  EXPECT_EQ(both(number++).recorded, 3);
}

TEST(Replay, LetsATapeNoticeThatAnActivationItSavedWasOverwritten) {
  Training run(kernels(), amp::Precision::fp32, kOn);
  const Watch block = run.model->watch("3");
  for (uint32_t number = 0; number < 2; ++number) run.take(number);
  const tape::Saved saved = tape::save(block.activation());
  EXPECT_NO_THROW(saved.get());
  run.take(2);
  EXPECT_THROW(saved.get(), Error);
}

// --- What changes between two steps
// ---------------------------------------------------------------------------------------------------------

TEST(Replay, GoesOnFromAStateThatWasPutBack) {
  Training run(kernels(), amp::Precision::fp16, kOn), eager(kernels(), amp::Precision::fp16, kOff),
      state(kernels(), amp::Precision::fp16, kOff);
  state.take(77);
  for (uint32_t number = 0; number < 6; ++number) {
    if (number == 3)
      for (Training* each : {&run, &eager}) each->copy_from(state);
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
  }
}

// And only that: the optimizer's state stays.
TEST(Replay, LeavesAWeightAloneFromTheStepOnThatNobodyWantsItsGradientIn) {
  Training run(kernels(), amp::Precision::fp32, kOn), eager(kernels(), amp::Precision::fp32, kOff);
  for (uint32_t number = 0; number < 5; ++number) {
    if (number == 3)
      for (Training* each : {&run, &eager}) Tensor(each->model->parameters()[3].tensor).set_requires_grad(false);
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
  }
}

// The half copy of a weight that was written to is made again, at the same address.
TEST(Replay, SeesWeightsThatWereWrittenBetweenTwoSteps) {
  Training run(kernels(), amp::Precision::fp16, kOn), eager(kernels(), amp::Precision::fp16, kOff);
  for (uint32_t number = 0; number < 4; ++number) {
    if (number == 3)
      for (Training* each : {&run, &eager})
        for (NamedTensor& parameter : each->model->parameters())
          each->placement.device.backend().run(op::Scale{parameter.tensor, 0.5, parameter.tensor});
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
  }
  EXPECT_EQ(run.step.counts().replayed, 3);
}

TEST(Replay, MovesTheVersionsOfWhatItWroteAndOfNothingElse) {
  Training run(kernels(), amp::Precision::fp16, kOn);
  freeze(*run.model, run.adam);
  for (uint32_t number = 0; number < 2; ++number) run.take(number);
  const auto versions = [&] {
    std::vector<uint64_t> all;
    for (const NamedTensor& named : run.everything()) all.push_back(named.tensor.version());
    return all;
  };
  const std::vector<uint64_t> before = versions();
  run.take(2);
  const std::vector<uint64_t> after = versions();
  const auto everything = run.everything();
  for (size_t i = 0; i < before.size(); ++i) {
    const bool frozen =
        everything[i].name == "0.weight" || everything[i].name.starts_with("3.conv") || everything[i].name == "3.downsample.0.weight";
    EXPECT_EQ(after[i] == before[i], frozen) << everything[i].name;
  }
}

// The optimizer writes the half copies; a step in the middle of training casts no weight.
TEST(Replay, LeavesHalfCopiesThatNobodyHasToMakeAgain) {
  Training run(kernels(), amp::Precision::fp16, kOn);
  for (uint32_t number = 0; number < 3; ++number) run.take(number);
  int copies = 0;
  for (const NamedTensor& parameter : run.model->parameters()) {
    const Tensor copy = amp::current_half_copy(parameter.tensor);
    if (!copy) continue;
    ++copies;
    EXPECT_EQ(copy.to_doubles(), parameter.tensor.to(DType::f16).to_doubles()) << parameter.name;
  }
  EXPECT_EQ(copies, 6);
}

// --- Waiting, and not being able to
// ------------------------------------------------------------------------------------------------------------

WrappedDevice& wrapped(std::string_view inner) { return *std::make_unique<WrappedDevice>(inner).release(); }

TEST(Replay, WaitsForNothingInAStepEagerOrReplayed) {
  for (const ReplayOptions& how : {kOff, kOn})
    for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::fp16}) {
      WrappedDevice& device = wrapped(kernel_device());
      Training run(device, precision, how);
      run.take(0);
      const Tensor input = replaying::pictures(1, kBatch, {device, amp::dtype_of(precision)});
      const std::vector<int64_t> labels = replaying::labels(1, kBatch);
      for (int64_t number = 1; number < 4; ++number) {
        device.waits = 0;
        run.step({.input = input, .labels = labels, .rates = rates(1), .number = number, .scaler = &run.scaler});
        EXPECT_EQ(device.waits, 0) << "step " << number;
      }
    }
}

TEST(Replay, SaysOnceWhyItCannotRecordAndGoesOnEagerly) {
  WrappedDevice& device = wrapped(kernel_device());
  device.no_recording = "the moon is in the way";
  std::vector<std::string> notes;
  Training run(device, amp::Precision::fp16, {.mode = ReplayMode::on, .note = [&](const std::string& note) { notes.push_back(note); }});
  Training eager(kernels(), amp::Precision::fp16, kOff);
  const Watch ours = run.model->watch("3"), theirs = eager.model->watch("3");
  for (uint32_t number = 0; number < 4; ++number) {
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
    EXPECT_EQ(ours.gradient().to_doubles(), theirs.gradient().to_doubles());
  }
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("the moon is in the way"), std::string::npos) << notes[0];
  EXPECT_EQ(run.step.counts().eager, 4);
  EXPECT_EQ(run.step.counts().replayed, 0);
}

TEST(Replay, GoesOnEagerlyWhereTheDeviceHasNoMemoryToRunIt) {
  WrappedDevice& device = wrapped(kernel_device());
  std::vector<std::string> notes;
  Training run(device, amp::Precision::fp16, {.mode = ReplayMode::on, .note = [&](const std::string& note) { notes.push_back(note); }});
  Training eager(kernels(), amp::Precision::fp16, kOff);
  for (uint32_t number = 0; number < 5; ++number) {
    device.no_memory_for_replays = number == 3;
    run.take(number);
    eager.take(number);
    expect_same_bits(run, eager, number);
  }
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("1048576 bytes"), std::string::npos) << notes[0];
  EXPECT_EQ(run.step.counts().eager, 3);
  EXPECT_EQ(run.step.counts().replayed, 2);
}

TEST(Replay, ThrowsTheErrorOfADeviceThatIsLostWhileItRecords) {
  WrappedDevice& device = wrapped(kernel_device());
  std::vector<std::string> notes;
  Training run(device, amp::Precision::fp32, {.mode = ReplayMode::on, .note = [&](const std::string& note) { notes.push_back(note); }});
  run.take(0);
  device.no_recording = "the recording broke off";
  device.lost_by_recording = "the GPU has fallen off the bus";
  try {
    run.take(1);
    FAIL() << "no error";
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.message(), "the GPU has fallen off the bus");
  }
  EXPECT_TRUE(notes.empty()) << notes[0];
}

TEST(Replay, IsEagerWhereEachOutputIsLookedAt) {
  Training run(kernels(), amp::Precision::fp32, kOn);
  running::set_checking(true);
  for (uint32_t number = 0; number < 3; ++number) run.take(number);
  running::set_checking(false);
  EXPECT_EQ(run.step.counts().eager, 3);
  EXPECT_EQ(run.step.counts().replayed, 0);
}

TEST(Replay, IsRefusedWhereADeviceHasNone) {
  EXPECT_THROW(replays(ReplayMode::on, open_device("cpu")), DeviceError);
  EXPECT_FALSE(replays(ReplayMode::automatic, open_device("cpu")));
  EXPECT_FALSE(replays(ReplayMode::automatic, open_device("simt")));  // it gains nothing there
  EXPECT_EQ(replays(ReplayMode::automatic, kernels()), kernels().name() == "cuda");
  EXPECT_TRUE(replays(ReplayMode::on, kernels()));
  EXPECT_FALSE(replays(ReplayMode::off, kernels()));
  EXPECT_EQ(replay_mode_of("auto"), ReplayMode::automatic);
  EXPECT_EQ(replay_mode_of("on"), ReplayMode::on);
  EXPECT_EQ(replay_mode_of("off"), ReplayMode::off);
  EXPECT_THROW(replay_mode_of("perhaps"), UsageError);
}

// --- Inference
// -----------------------------------------------------------------------------------------------------------------------------------

TEST(Replay, GivesTheLogitsOfEagerInferenceAndFoldsChangedWeightsAnew) {
  for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::fp16}) {
    Training run(kernels(), precision, kOff);
    run.take(0);
    Inference replayed(*run.model, precision, kOn), eager(*run.model, precision, kOff);
    const Placement placement{kernels(), amp::dtype_of(precision)};
    const auto compare = [&](uint32_t number, int64_t n = kBatch) {
      const Tensor x = replaying::pictures(number, n, placement);
      ASSERT_EQ(replayed(x).to_doubles(), eager(x).to_doubles()) << number;
    };
    for (uint32_t number = 0; number < 3; ++number) compare(number);
    compare(3, 2);  // a shorter batch
    compare(4);
    EXPECT_EQ(replayed.counts().eager, 2);
    EXPECT_EQ(replayed.counts().recorded, 1);
    EXPECT_EQ(replayed.counts().replayed, 3);
    run.model->train();
    run.take(1);
    run.model->evaluate();
    for (uint32_t number = 5; number < 8; ++number) compare(number);
    EXPECT_EQ(replayed.counts().recorded, 2);
  }
}

// A batch norm keeps the weights that it is folded into, and these keep their half copies: nothing else holds what a recorded pass reads.
TEST(Replay, KeepsThePassInOneHalfWhileTheModelRunsInTheOther) {
  Sequential model;
  model.append(std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 8, .conv = {.padding = 1}}, Placement{kernels()}));
  model.append(std::make_unique<BatchNorm2d>(8, Placement{kernels()}));
  initialise(model, 5);
  Inference f16(model, amp::Precision::fp16, kOn), bf16(model, amp::Precision::bf16, kOn);
  const Tensor x = replaying::pictures(1, 2, Placement{kernels()});
  const std::vector<double> in_f16 = f16(x).to_doubles();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(f16(x).to_doubles(), in_f16);
  const std::vector<double> in_bf16 = bf16(x).to_doubles();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(f16(x).to_doubles(), in_f16);
    EXPECT_EQ(bf16(x).to_doubles(), in_bf16);
  }
  EXPECT_EQ(f16.counts().recorded, 1);
  EXPECT_EQ(bf16.counts().recorded, 1);
}

}  // namespace
}  // namespace mirilla::nn
