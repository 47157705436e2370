// SPDX-License-Identifier: MIT
// A device that makes the gradients of a half convolution's weights in halves, as cuDNN does: left so, or widened at once, a training is
// the same to the bit.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/amp/autocast.h"
#include "kernels/core/implements.h"
#include "nn/run/inference.h"
#include "nn/train/sgd.h"
#include "tests/nn/run/replay_network.h"
#include "tests/nn/wrapped_device.h"

namespace mirilla::nn {
namespace {

using replaying::kBatch;
using replaying::Training;

// Computes on the host. Beside halves, a gradient of weights in f32 passes through halves and an f32 bias is rounded.
class RoundingBackend final : public Implements<RoundingBackend, CoreOperations, Operations<op::Conv2dBiasAddRelu>> {
 public:
  RoundingBackend(Backend& inner, bool says_so) : inner_(inner), says_so_(says_so) {}
  int widened = 0, narrowed = 0;  // conversions
  int in_halves = 0;              // gradients that were left in halves

  std::string_view name() const override { return inner_.name(); }
  void forget(uint64_t storage_id) override { inner_.forget(storage_id); }
  bool rounds(const op::Conv2dBackwardWeight& call) override { return says_so_ && converts(call); }
  bool rounds(const op::Conv2dBiasAddRelu& call) override { return says_so_ && converts(call); }

  template <class T>
  void execute(const T& call) {
    inner_.run(call);
  }

 private:
  static bool converts(const op::Conv2dBackwardWeight& call) { return is_half(call.dy.dtype) && call.dw.dtype == DType::f32; }
  static bool converts(const op::Conv2dBiasAddRelu& call) { return is_half(call.x.dtype) && call.bias && call.bias.dtype == DType::f32; }

  Backend& inner_;
  bool says_so_;
};

struct Halves {
  Halves(const Shape& shape, DType dtype)
      : memory(static_cast<size_t>(shape.numel())), view{.address = memory.data(), .shape = shape, .dtype = dtype, .present = true} {}
  std::vector<uint16_t> memory;
  View view;
};

template <>
void RoundingBackend::execute(const op::Conv2dBackwardWeight& call) {
  in_halves += is_half(call.dw.dtype);
  if (!converts(call)) return inner_.run(call);
  const Halves halves(call.dw.shape, call.dy.dtype);
  inner_.run(op::Conv2dBackwardWeight{call.x, call.dy, call.spec, halves.view});
  inner_.run(op::Cast{halves.view, call.dw});
  ++widened;
}

template <>
void RoundingBackend::execute(const op::Conv2dBiasAddRelu& call) {
  if (!converts(call)) return inner_.run(call);
  const Halves halves(call.bias.shape, call.x.dtype);
  inner_.run(op::Cast{call.bias, halves.view});
  op::Conv2dBiasAddRelu rounded = call;
  rounded.bias = halves.view;
  inner_.run(rounded);
  ++narrowed;
}

class RoundingDevice final : public WrappedDevice {
 public:
  explicit RoundingDevice(bool says_so) : WrappedDevice("cpu"), rounding(open_device("cpu").backend(), says_so) {}
  Backend& backend() override { return rounding; }
  RoundingBackend rounding;
};

// Never destroyed: its allocator lives as long as the program.
RoundingDevice& new_device(bool says_so) { return *std::make_unique<RoundingDevice>(says_so).release(); }

void expect_same(const std::vector<NamedTensor>& one, const std::vector<NamedTensor>& other) {
  ASSERT_EQ(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].tensor.to_doubles(), other[i].tensor.to_doubles()) << one[i].name;
}

constexpr int kConvolutions = 4;  // of the network

TEST(HalfGradients, LeftInHalvesTrainToTheSameBits) {
  for (const amp::Precision precision : {amp::Precision::fp16, amp::Precision::bf16}) {
    RoundingDevice &left = new_device(true), &widened = new_device(false);
    Training run(left, precision, {.mode = ReplayMode::off}), want(widened, precision, {.mode = ReplayMode::off});
    for (uint32_t step = 0; step < 5; ++step) {
      const double loss = run.take(step).item();
      EXPECT_EQ(loss, want.take(step).item()) << "step " << step;
      EXPECT_GT(loss, 0);
    }
    expect_same(run.everything(), want.everything());
    EXPECT_EQ(left.rounding.widened, 0);
    EXPECT_EQ(left.rounding.in_halves, 5 * kConvolutions);
    EXPECT_EQ(widened.rounding.widened, 5 * kConvolutions);
    EXPECT_EQ(widened.rounding.in_halves, 0);
  }
}

TEST(HalfGradients, OfAnOverflowAreSeenAndTheStepIsLeftOut) {
  RoundingDevice& device = new_device(true);
  Training run(device, amp::Precision::fp16, {.mode = ReplayMode::off}, 0x1p40);
  const std::vector<double> before = run.model->parameters()[0].tensor.to_doubles();
  run.take(0);
  EXPECT_TRUE(run.scaler.overflowed());
  EXPECT_EQ(run.model->parameters()[0].tensor.to_doubles(), before);
  EXPECT_GT(device.rounding.in_halves, 0);
}

// One optimizer step from the gradients of two batches.
std::vector<NamedTensor> accumulated(RoundingDevice& device, bool sgd) {
  const Placement placement{device};
  static std::vector<std::unique_ptr<Sequential>> networks;  // whoever looks at the tensors later
  Sequential& network = *networks.emplace_back(replaying::small_network(placement));
  network.train();
  std::unique_ptr<Optimizer> optimizer;
  if (sgd)
    optimizer = std::make_unique<Sgd>(std::vector<std::vector<NamedTensor>>{network.parameters()}, SgdOptions{.weight_decay = 1e-3});
  else
    optimizer = std::make_unique<Adam>(std::vector<std::vector<NamedTensor>>{network.parameters()});
  amp::GradScaler scaler(device, {.initial = 1024});
  TrainingStep step(network, *optimizer, {.precision = amp::Precision::fp16, .replay = {.mode = ReplayMode::off}});
  for (uint32_t batch = 0; batch < 2; ++batch) {
    const Tensor input = replaying::pictures(batch, kBatch, {device, DType::f16});
    step.forward_backward(input, replaying::labels(batch, kBatch), &scaler);
    EXPECT_EQ(network.parameters()[0].tensor.grad().dtype(), DType::f32) << "read by a person";
  }
  optimizer->step({.lr = {1e-2}, .momentum = 0.9}, &scaler);
  return network.parameters();
}

TEST(HalfGradients, OfTwoBatchesAddUpInF32ForEachOptimizer) {
  for (const bool sgd : {false, true}) expect_same(accumulated(new_device(true), sgd), accumulated(new_device(false), sgd));
}

TEST(HalfBias, OfAFoldedConvolutionIsRoundedOnceAndNotBeforeEachConvolution) {
  RoundingDevice &once = new_device(true), &each = new_device(false);
  const auto logits_of = [](RoundingDevice& device) {
    const auto network = replaying::small_network({device});
    for (NamedTensor& buffer : network->buffers()) buffer.tensor.fill(buffer.name.ends_with("running_var") ? 1.7 : 0.3);
    Inference inference(*network, amp::Precision::fp16, {.mode = ReplayMode::off});
    std::vector<double> all;
    for (uint32_t batch = 0; batch < 3; ++batch)
      for (const double logit : inference(replaying::pictures(batch, kBatch, {device, DType::f16})).to_doubles()) all.push_back(logit);
    return all;
  };
  EXPECT_EQ(logits_of(once), logits_of(each));
  EXPECT_EQ(once.rounding.narrowed, 0);
  EXPECT_EQ(each.rounding.narrowed, 3 * kConvolutions);
}

}  // namespace
}  // namespace mirilla::nn
