// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/modules/layers.h"

namespace mirilla::nn {

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + identity); `downsample` (a 1x1 convolution and its norm) where the shape changes.
/// Children as torchvision's: conv1 bn1 relu conv2 bn2 [downsample.0 downsample.1]. relu runs twice. [torchvision.models.resnet.BasicBlock]
class BasicBlock final : public Module {
 public:
  BasicBlock(int in, int out, int stride, Placement placement);
  std::string_view kind() const override { return "BasicBlock"; }

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  ReLU& relu_;
  Conv2d& conv2_;
  BatchNorm2d& bn2_;
  Sequential* downsample_ = nullptr;
};

enum class Head {
  fastai,       // "head": fastai.vision.learner.create_head, children 0..8
  torchvision,  // "avgpool" and "fc"
};

struct ResNetSpec {
  std::string arch = "resnet18";  // or resnet34
  int classes = 6;
  Head head = Head::fastai;
  std::optional<uint64_t> seed = 0;  // of the initial weights; none: zeros, for a model that is about to be read from a file
};

/// ResNet18 or 34 with torchvision's module names: conv1 bn1 relu maxpool layer1..layer4, and a head.
///
///   pictures (N,H,W,3) normalised -> logits (N,classes); layer1 (N,H/4,W/4,64) ... layer4 (N,H/32,W/32,512)
///
/// fastai's head: concat pool, flatten, BatchNorm1d(1024), Dropout .25, Linear(1024,512), ReLU, BatchNorm1d(512), Dropout .5,
/// Linear(512,classes).
class ResNet final : public Module {
 public:
  /// Throws UsageError for an unknown arch.
  ResNet(const ResNetSpec& spec, Placement placement);
  std::string_view kind() const override { return "ResNet"; }
  const ResNetSpec& spec() const { return spec_; }

  /// fastai's three: [conv1..layer2], [layer3, layer4], [head].                                  [fastai.vision.learner._resnet_split]
  std::array<std::vector<NamedTensor>, 3> parameter_groups() const;

 protected:
  Tensor forward(const Tensor& x) override;
  /// As fastai's Sequential(body, head): model[0][-2] is layer3, model[0] what the body gives, so layer4, and model[1] the head.
  std::optional<Indexed> indexed(std::span<const int> indices) const override;

 private:
  ResNetSpec spec_;
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  ReLU& relu_;
};

/// The whole-number counts of blocks in layer1..layer4: resnet18 {2,2,2,2}, resnet34 {3,4,6,3}. Throws UsageError.
std::array<int, 4> blocks_of(std::string_view arch);

/// Fills the parameters with their initial values from Philox: convolutions kaiming_normal (fan_out), head linears kaiming_normal (fan_in),
/// norms weight 1, bias 0 (head 1e-3).
void initialise(Module& model, uint64_t seed);

}  // namespace mirilla::nn
