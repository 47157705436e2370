// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/ops/linear.h"
#include "engine/ops/reductions.h"
#include "engine/tape.h"
#include "kernels/core/philox.h"
#include "nn/modules/resnet.h"

/// Networks small enough to watch every module on every device, also on the executor.
namespace mirilla::nn {

constexpr int64_t kNoiseSide = 12;

/// Pictures (n,side,side,3), evenly in -1 .. 1, the same everywhere.
inline Tensor noise(int64_t n, DType dtype, Device& device, int64_t side = kNoiseSide) {
  std::vector<float> values;
  const RandomKey key{.seed = 4, .purpose = Purpose::kTest};
  for (uint32_t i = 0; i < static_cast<uint32_t>(n * side * side * 3); ++i) values.push_back(2 * to_unit(key.bits(i)) - 1);
  return from_host(values, {n, side, side, 3}, device).to(dtype);
}

/// A small ResNet: conv1 bn1 relu, layer1 of two blocks (the second with a downsample), and a head: pool, flatten, linear, ReLU, norm,
/// linear. Its norms' running statistics are not the initial ones, so that folding them changes values.
class SmallNetwork final : public Module {
 public:
  static constexpr int kClasses = 3;
  static constexpr size_t kCalls = 28;  // of all modules below in one pass

  explicit SmallNetwork(Placement placement)
      : conv1_(add("conv1", std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 8, .conv = {.padding = 1}}, placement))),
        bn1_(add("bn1", std::make_unique<BatchNorm2d>(8, placement))),
        relu_(add("relu", std::make_unique<ReLU>())) {
    auto layer = std::make_unique<Sequential>();
    layer->append(std::make_unique<BasicBlock>(8, 8, 1, placement));
    layer->append(std::make_unique<BasicBlock>(8, 16, 2, placement));
    layer1_ = &add("layer1", std::move(layer));
    auto head = std::make_unique<Sequential>();
    head->append(std::make_unique<AdaptiveAvgPool2d>());
    head->append(std::make_unique<Flatten>());
    head->append(std::make_unique<Linear>(16, 12, true, placement));
    head->append(std::make_unique<ReLU>());
    head->append(std::make_unique<BatchNorm1d>(12, placement));
    head->append(std::make_unique<Linear>(12, kClasses, false, placement));
    head_ = &add("head", std::move(head));
    initialise(*this, 7);
    for (NamedTensor buffer : buffers()) buffer.tensor.fill(buffer.name.ends_with("running_var") ? 0.7 : 0.1);
  }
  std::string_view kind() const override { return "SmallNetwork"; }

  Tensor after_layer1(const Tensor& y) { return (*head_)(y); }

 protected:
  Tensor forward(const Tensor& x) override { return after_layer1((*layer1_)(run_conv_norm(conv1_, bn1_, &relu_, x))); }

 private:
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  ReLU& relu_;
  Sequential* layer1_;
  Sequential* head_;
};

/// Overwrites its input and returns it.
class Scribble final : public Module {
 public:
  std::string_view kind() const override { return "Scribble"; }

 protected:
  Tensor forward(const Tensor& x) override {
    Tensor y = x.detach();
    y.fill(0.5);
    return y;
  }
};

class Scribbling final : public Module {
 public:
  explicit Scribbling(Placement placement) {
    add("conv", std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 4}, placement));
    add("scribble", std::make_unique<Scribble>());
  }
  std::string_view kind() const override { return "Scribbling"; }

 protected:
  Tensor forward(const Tensor& x) override { return at("scribble")(at("conv")(x)); }
};

/// Runs another network twice; that network is not its child.
class Student final : public Module {
 public:
  explicit Student(Module& teacher) : teacher_(teacher) {}
  std::string_view kind() const override { return "Student"; }

 protected:
  Tensor forward(const Tensor& x) override {
    teacher_(x);
    return teacher_(x);
  }

 private:
  Module& teacher_;
};

/// first, middle, last: three convolutions, whose middle one can fail, in the forward or the backward pass.
class Fragile final : public Module {
 public:
  enum class Breaks { nowhere, forward, backward };

  explicit Fragile(Placement placement) {
    for (const char* name : {"first", "middle", "last"})
      add(name, std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 3, .conv = {.padding = 1}}, placement));
    initialise(*this, 3);
  }
  std::string_view kind() const override { return "Fragile"; }
  void breaks(Breaks when) { when_ = when; }

 protected:
  Tensor forward(const Tensor& x) override {
    Tensor y = at("middle")(at("first")(x));
    if (when_ == Breaks::forward) throw Error("the middle broke");
    if (when_ == Breaks::backward)
      y = tape::record("breaks", {y}, y.detach(),
                       [](const Tensor&) -> tape::Gradients { throw Error("the middle broke in the backward pass"); });
    return at("last")(y);
  }

 private:
  Breaks when_ = Breaks::nowhere;
};

}  // namespace mirilla::nn
