// SPDX-License-Identifier: MIT
#include "nn/run/input_place.h"

#include <gtest/gtest.h>

#include "engine/amp/autocast.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "kernels/ledger.h"
#include "nn/run/evaluate.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/run/replay_network.h"

namespace mirilla::nn::input_places {
namespace {

using replaying::kBatch;
using replaying::kSide;
using replaying::Training;

const ReplayOptions kOn{.mode = ReplayMode::on}, kOff{.mode = ReplayMode::off};

Device& kernels() { return open_device(kernel_device()); }

Tensor take(Training& run, uint32_t number, const Tensor& input) {
  return run.step({.input = input,
                   .labels = replaying::labels(number, kBatch),
                   .rates = replaying::rates(number),
                   .number = number,
                   .scaler = &run.scaler});
}

Tensor batch(uint32_t number, DType dtype = DType::f16) { return replaying::pictures(number, kBatch, {kernels(), dtype}); }

void expect_same_bits(const Training& got, const Training& want, const std::string& when) {
  const auto a = got.everything(), b = want.everything();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i].tensor.to_doubles(), b[i].tensor.to_doubles()) << a[i].name << " " << when;
}

TEST(InputPlace, IsPaddedForANetworkThatTakesItInHalvesAndForNoOther) {
  Training half(kernels(), amp::Precision::fp16, kOff), full(kernels(), amp::Precision::fp32, kOff);
  EXPECT_EQ(half.step.input_place().room(2, 8).shape(), (Shape{2, 8, 8, 4}));
  EXPECT_EQ(full.step.input_place().room(2, 8).shape(), (Shape{2, 8, 8, 3}));
  EXPECT_EQ(InputPlace(Placement{kernels(), DType::f16}).room(2, 8).shape(), (Shape{2, 8, 8, 3})) << "nobody was asked";
  Training on_host(open_device("cpu"), amp::Precision::fp16, kOff);
  EXPECT_EQ(on_host.step.input_place().room(2, 8).shape(), (Shape{2, 8, 8, 3}));
  Sequential other;
  other.append(std::make_unique<Flatten>());
  other.append(std::make_unique<Linear>(192, 4, false, Placement{kernels()}));
  EXPECT_EQ(Inference(other, amp::Precision::fp16, kOff).input_place().room(2, 8).shape(), (Shape{2, 8, 8, 3}));
  EXPECT_TRUE(ResNet({.classes = 2}, {kernels()}).takes_padded_pictures());
}

// Steps of four channels, eager and replayed, against steps of three.
TEST(InputPlace, GivesTheStepsTheBitsOfThreeChannels) {
  Training padded(kernels(), amp::Precision::fp16, kOn), eager(kernels(), amp::Precision::fp16, kOff),
      plain(kernels(), amp::Precision::fp16, kOff);
  for (uint32_t number = 0; number < 6; ++number) {
    const Tensor three = batch(number);
    const double want = take(plain, number, three).item();
    EXPECT_EQ(take(padded, number, padded.step.input_place().holding(three)).item(), want);
    EXPECT_EQ(take(eager, number, eager.step.input_place().holding(three)).item(), want);
    expect_same_bits(padded, plain, fmt::format("replayed, after step {}", number));
    expect_same_bits(eager, plain, fmt::format("eager, after step {}", number));
    if (number != 3) continue;  // weights that somebody writes between two steps
    for (Training* each : {&padded, &eager, &plain})
      for (NamedTensor& parameter : each->model->parameters())
        each->placement.device.backend().run(op::Scale{parameter.tensor, 0.5, parameter.tensor});
  }
  EXPECT_EQ(padded.step.counts().recorded, 1);
  EXPECT_EQ(padded.step.counts().replayed, 5);
}

// A recording reads the padded weights where they are: a pass between an eager and a recorded step makes them current, and the steps after
// it change them.
TEST(InputPlace, FindsTheWeightsOfEachStepPadded) {
  Training run(kernels(), amp::Precision::fp16, kOn), plain(kernels(), amp::Precision::fp16, kOff);
  for (uint32_t number = 0; number < 4; ++number) {
    for (Training* each : {&run, &plain}) {
      const Tensor input = each == &run ? each->step.input_place().holding(batch(number)) : batch(number);
      take(*each, number, input);
      const tape::NoGrad no_grad;
      const amp::Autocast autocast(DType::f16);
      (*each->model)(each == &run ? each->step.input_place().holding(batch(9)) : batch(9));
    }
    for (const NamedTensor& parameter : run.model->parameters()) {
      const HalfCopy& copy = parameter.tensor.half_copies().f16;
      if (!copy.padded) continue;
      const std::vector<double> four = copy.padded.to_doubles(), three = parameter.tensor.to(DType::f16).to_doubles();
      for (size_t i = 0; i < four.size(); ++i) ASSERT_EQ(four[i], i % 4 == 3 ? 0 : three[i / 4 * 3 + i % 4]) << parameter.name;
    }
    expect_same_bits(run, plain, fmt::format("after step {}", number));
  }
  EXPECT_GE(run.step.counts().replayed, 2);
}

// --- Where a replay reads
// ------------------------------------------------------------------------------------------------------------------

TEST(ReplayerInput, IsTheRecordingsOwnAndIsNotCopied) {
  Training run(kernels(), amp::Precision::fp16, kOn);
  const auto room = [&] { return run.step.input_place().room(kBatch, kSide); };
  EXPECT_NE(room().storage()->id(), room().storage()->id()) << "there is no recording";
  for (uint32_t number = 0; number < 2; ++number) take(run, number, run.step.input_place().holding(batch(number)));
  const uint64_t own = room().storage()->id();
  EXPECT_EQ(room().storage()->id(), own);
  EXPECT_NE(run.step.input_place().room(kBatch - 1, kSide).storage()->id(), own) << "of another shape";
  const Tensor held = room();
  EXPECT_NE(room().storage()->id(), own) << "somebody has it";
}

TEST(ReplayerInput, StaysWhatItWasForWhoeverHoldsIt) {
  Training run(kernels(), amp::Precision::fp16, kOn), plain(kernels(), amp::Precision::fp16, kOff);
  std::vector<Tensor> ahead;  // all batches are made before the first step, and kept
  for (uint32_t number = 0; number < 3; ++number) {
    take(run, number, run.step.input_place().holding(batch(number)));
    take(plain, number, batch(number));
  }
  for (uint32_t number = 3; number < 6; ++number) ahead.push_back(run.step.input_place().holding(batch(number)));
  std::vector<std::vector<double>> before;
  for (const Tensor& input : ahead) before.push_back(input.to_doubles());
  for (uint32_t number = 5; number >= 3; --number) {
    take(run, number, ahead[number - 3]);
    take(plain, number, batch(number));
    expect_same_bits(run, plain, fmt::format("after step {}", number));
  }
  EXPECT_EQ(ahead[1].to_doubles(), before[1]);
  EXPECT_EQ(ahead[2].to_doubles(), before[2]);
  EXPECT_EQ(run.step.counts().replayed, 3);  // 1, 2, and 3, whose input was in place
  EXPECT_EQ(run.step.counts().eager, 3);     // 0, and 5 and 4, for which it would have been overwritten
}

// A tape that holds it still computes the gradient of its own batch.
TEST(ReplayerInput, IsNotWrittenWhileATapeHoldsIt) {
  Training run(kernels(), amp::Precision::fp16, kOn);
  for (uint32_t number = 0; number < 3; ++number) take(run, number, run.step.input_place().holding(batch(number)));
  const amp::Autocast autocast(DType::f16);
  const Tensor logits = (*run.model)(run.step.input_place().holding(batch(3)));
  take(run, 4, run.step.input_place().holding(batch(4)));
  EXPECT_THROW(tape::backward(logits, {.seed = zeros(logits.shape(), logits.dtype(), kernels())}), Error)
      << "the step has changed the weights, which is told";
  Training frozen(kernels(), amp::Precision::fp16, kOff);
  Inference inference(*frozen.model, amp::Precision::fp16, kOn);
  for (uint32_t number = 0; number < 3; ++number) inference(inference.input_place().holding(batch(number)));
  const Tensor mine = inference.input_place().holding(batch(3));
  const std::vector<double> values = mine.to_doubles();
  inference(inference.input_place().holding(batch(4)));
  EXPECT_EQ(mine.to_doubles(), values);
}

// Two of them, of one network and one shape, each with its own.
TEST(ReplayerInput, IsNotSharedByTwoReplayers) {
  Training run(kernels(), amp::Precision::fp16, kOff);
  Inference one(*run.model, amp::Precision::fp16, kOn), two(*run.model, amp::Precision::fp16, kOn),
      eager(*run.model, amp::Precision::fp16, kOff);
  for (uint32_t number = 0; number < 4; ++number) {
    const Tensor a = one.input_place().holding(batch(number)), b = two.input_place().holding(batch(number + 10));
    const std::vector<double> of_a = one(a).to_doubles(), of_b = two(b).to_doubles();
    EXPECT_EQ(of_a, eager(batch(number)).to_doubles());
    EXPECT_EQ(of_b, eager(batch(number + 10)).to_doubles());
  }
  EXPECT_EQ(one.counts().replayed, 3);
  EXPECT_EQ(two.counts().replayed, 3);
}

// What a GPU is given for a step: nothing but its pictures' own kernels writes the input, in training and in inference.
TEST(ReplayerInput, LeavesNoCopyInAReplayedStep) {
  LedgerDevice& ledger = new_ledger_device({.name = "GPU"});
  Training run(ledger, amp::Precision::fp16, kOn);
  Inference inference(*run.model, amp::Precision::fp16, kOn);
  run.model->train();
  LastingInput same(replaying::pictures(1, kBatch, {ledger, DType::f16}));
  const auto copies_of = [&](const std::function<void()>& step) {
    for (int i = 0; i < 4; ++i) {  // eager, recorded, put in place, found there
      ledger.take();
      step();
    }
    int copies = 0;
    const int64_t pictures = kBatch * kSide * kSide * 4 * 2, labels = kBatch * 8;
    for (const LedgerEntry& entry : ledger.take().entries)
      copies += entry.kind == LedgerEntry::Kind::copy && (entry.read == pictures || entry.read == labels);
    return copies;
  };
  EXPECT_EQ(copies_of([&] { take(run, 1, same.in(run.step.input_place())); }), 0);
  const EvaluationMode mode(*run.model);
  EXPECT_EQ(copies_of([&] { inference(same.in(inference.input_place())); }), 0);
}

TEST(LastingInput, IsWrittenAgainWhereSomebodyElseWrote) {
  Training run(kernels(), amp::Precision::fp16, kOn);
  Inference inference(*run.model, amp::Precision::fp16, kOn);
  LastingInput same(batch(1));
  const std::vector<double> want = inference(same.in(inference.input_place())).to_doubles();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(inference(same.in(inference.input_place())).to_doubles(), want);
    inference.input_place().holding(batch(2));
  }
  EXPECT_EQ(inference(same.in(inference.input_place())).to_doubles(), want);
}

}  // namespace
}  // namespace mirilla::nn::input_places
