// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/modules/layers.h"

namespace mirilla::nn {

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + identity); `downsample` (a 1x1 convolution and its norm) if the shape changes.
/// Children as torchvision's: conv1 bn1 relu conv2 bn2 [downsample.0 downsample.1]. relu runs twice. [torchvision.models.resnet.BasicBlock]
class BasicBlock final : public Module {
 public:
  BasicBlock(int in, int out, int stride, Placement placement);
  std::string_view kind() const override { return "BasicBlock"; }
  Rest rest_after(std::string_view child) override;  // of relu, whose last run gives the block's output

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

/// relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + identity): 1x1 to `width` channels, 3x3 with the stride, 1x1 to 4 width.
/// Children as torchvision's: conv1 bn1 conv2 bn2 conv3 bn3 relu [downsample.0 downsample.1]. relu runs three times.
/// [torchvision.models.resnet.Bottleneck]
class Bottleneck final : public Module {
 public:
  static constexpr int kExpansion = 4;
  Bottleneck(int in, int width, int stride, Placement placement);
  std::string_view kind() const override { return "Bottleneck"; }
  Rest rest_after(std::string_view child) override;  // of relu, as BasicBlock

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  Conv2d& conv2_;
  BatchNorm2d& bn2_;
  Conv2d& conv3_;
  BatchNorm2d& bn3_;
  ReLU& relu_;
  Sequential* downsample_ = nullptr;
};

enum class Head {
  fastai,       // "head": fastai.vision.learner.create_head, children 0..8
  torchvision,  // "avgpool" and "fc"
};

struct ResNetSpec {
  std::string arch = "resnet18";  // one of architectures()
  int classes = 6;
  Head head = Head::fastai;
  std::optional<uint64_t> seed = 0;  // of the initial weights; empty: zeros, for a model that will be read from a file
};

/// A ResNet with torchvision's module names: conv1 bn1 relu maxpool layer1..layer4, and a head.
///
///   pictures (N,H,W,3) normalised -> logits (N,classes); layer1 (N,H/4,W/4,64) ... layer4 (N,H/32,W/32,512); 4 times as many channels
///   if the blocks are bottlenecks
///
/// fastai's head, C being layer4's channels: concat pool, flatten, BatchNorm1d(2 C), Dropout .25, Linear(2 C,512), ReLU, BatchNorm1d(512),
/// Dropout .5, Linear(512,classes).                                       [torchvision.models.resnet, fastai.vision.learner.create_head]
class ResNet final : public Module {
 public:
  /// Throws UsageError for an unknown arch.
  ResNet(const ResNetSpec& spec, Placement placement);
  std::string_view kind() const override { return "ResNet"; }
  const ResNetSpec& spec() const { return spec_; }
  bool takes_padded_pictures() const override { return true; }

  /// fastai's three: [conv1..layer2], [layer3, layer4], [head].                                  [fastai.vision.learner._resnet_split]
  std::vector<std::vector<NamedTensor>> parameter_groups() const override;
  /// Of relu, maxpool and layer1..layer4.
  Rest rest_after(std::string_view child) override;
  /// architecture: one of architectures(); head: "fastai" or "torchvision".
  std::map<std::string, std::string> description() const override;
  std::unique_ptr<Module> made_anew(uint64_t seed) const override;

 protected:
  Tensor forward(const Tensor& x) override;
  /// As fastai's Sequential(body, head): model[0][-2] is layer3, model[0] the body's output, which is that of layer4, and model[1] the
  /// head.
  std::optional<Indexed> indexed(std::span<const int> indices) const override;

 private:
  Tensor run_from(size_t member, const Tensor& x);

  ResNetSpec spec_;
  Conv2d& conv1_;
  BatchNorm2d& bn1_;
  ReLU& relu_;
  MaxPool2d& maxpool_;
};

/// The blocks of a ResNet.
struct Architecture {
  std::string_view name;
  bool bottleneck = false;      // blocks of Bottleneck, else of BasicBlock
  std::array<int, 4> blocks{};  // in layer1..layer4
};

/// resnet18, 34, 50, 101 and 152.
std::span<const Architecture> architectures();
/// Throws UsageError for an unknown name.
const Architecture& architecture_of(std::string_view name);

/// Fills the parameters with their initial values from Philox: convolutions kaiming_normal (fan_out), head linears kaiming_normal (fan_in),
/// norms weight 1, bias 0 (head 1e-3).
void initialise(Module& model, uint64_t seed);

}  // namespace mirilla::nn
