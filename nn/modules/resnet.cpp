// SPDX-License-Identifier: MIT
#include "nn/modules/resnet.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/linear.h"
#include "nn/modules/normal_numbers.h"

namespace mirilla::nn {

namespace {

std::unique_ptr<Conv2d> conv(int in, int out, int kernel, int stride, Placement placement) {
  return std::make_unique<Conv2d>(Conv2d::Spec{.in = in, .out = out, .kernel = kernel, .conv = {.stride = stride, .padding = kernel / 2}},
                                  placement);
}

constexpr double kHeadNormBias = 1e-3;  // fastai.layers.BatchNorm

std::unique_ptr<Sequential> fastai_head(int features, int classes, Placement placement) {
  constexpr int kHidden = 512;
  auto head = std::make_unique<Sequential>();
  head->append(std::make_unique<AdaptiveConcatPool2d>());
  head->append(std::make_unique<Flatten>());
  head->append(std::make_unique<BatchNorm1d>(2 * features, placement, kHeadNormBias));
  head->append(std::make_unique<Dropout>(0.25));
  head->append(std::make_unique<Linear>(2 * features, kHidden, false, placement));
  head->append(std::make_unique<ReLU>());
  head->append(std::make_unique<BatchNorm1d>(kHidden, placement, kHeadNormBias));
  head->append(std::make_unique<Dropout>(0.5));
  head->append(std::make_unique<Linear>(kHidden, classes, false, placement));
  return head;
}

// A 1x1 convolution and its norm if a block changes the shape, else null.
std::unique_ptr<Sequential> shortcut(int in, int out, int stride, Placement placement) {
  if (stride == 1 && in == out) return nullptr;
  auto downsample = std::make_unique<Sequential>();
  downsample->append(conv(in, out, 1, stride, placement));
  downsample->append(std::make_unique<BatchNorm2d>(out, placement));
  return downsample;
}

template <class Block>
std::unique_ptr<Sequential> stage(int in, int width, int out, int blocks, int stride, Placement placement) {
  auto layer = std::make_unique<Sequential>();
  for (int i = 0; i < blocks; ++i) layer->append(std::make_unique<Block>(i == 0 ? in : out, width, i == 0 ? stride : 1, placement));
  return layer;
}

// Of a block's relu, whose last output is the block's own.
Module::Rest rest_after_relu(std::string_view child) {
  if (child != "relu") return {};
  return [](const Tensor& output) { return output; };
}

uint32_t hash_of(std::string_view name) {  // FNV-1a
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

void set_values(Tensor tensor, const std::vector<double>& values) {
  dispatch_real(tensor.dtype(), "initialise", [&]<class T>() {
    tensor.copy_from(from_host(std::vector<T>(values.begin(), values.end()), tensor.shape(), tensor.device()));
  });
}

}  // namespace

BasicBlock::BasicBlock(int in, int out, int stride, Placement placement)
    : conv1_(add("conv1", conv(in, out, 3, stride, placement))),
      bn1_(add("bn1", std::make_unique<BatchNorm2d>(out, placement))),
      relu_(add("relu", std::make_unique<ReLU>())),
      conv2_(add("conv2", conv(out, out, 3, 1, placement))),
      bn2_(add("bn2", std::make_unique<BatchNorm2d>(out, placement))) {
  if (auto downsample = shortcut(in, out, stride, placement)) downsample_ = &add("downsample", std::move(downsample));
}

Tensor BasicBlock::forward(const Tensor& x) {
  const Tensor identity = downsample_ ? (*downsample_)(x) : x;
  const Tensor inner = run_conv_norm(conv1_, bn1_, &relu_, x);
  return run_conv_norm(conv2_, bn2_, &relu_, inner, identity);
}

Module::Rest BasicBlock::rest_after(std::string_view child) { return rest_after_relu(child); }

Bottleneck::Bottleneck(int in, int width, int stride, Placement placement)
    : conv1_(add("conv1", conv(in, width, 1, 1, placement))),
      bn1_(add("bn1", std::make_unique<BatchNorm2d>(width, placement))),
      conv2_(add("conv2", conv(width, width, 3, stride, placement))),
      bn2_(add("bn2", std::make_unique<BatchNorm2d>(width, placement))),
      conv3_(add("conv3", conv(width, kExpansion * width, 1, 1, placement))),
      bn3_(add("bn3", std::make_unique<BatchNorm2d>(kExpansion * width, placement))),
      relu_(add("relu", std::make_unique<ReLU>())) {
  if (auto downsample = shortcut(in, kExpansion * width, stride, placement)) downsample_ = &add("downsample", std::move(downsample));
}

Tensor Bottleneck::forward(const Tensor& x) {
  const Tensor identity = downsample_ ? (*downsample_)(x) : x;
  const Tensor narrow = run_conv_norm(conv1_, bn1_, &relu_, x);
  const Tensor inner = run_conv_norm(conv2_, bn2_, &relu_, narrow);
  return run_conv_norm(conv3_, bn3_, &relu_, inner, identity);
}

Module::Rest Bottleneck::rest_after(std::string_view child) { return rest_after_relu(child); }

std::span<const Architecture> architectures() {
  static constexpr std::array<Architecture, 5> kAll{{{"resnet18", false, {2, 2, 2, 2}},
                                                     {"resnet34", false, {3, 4, 6, 3}},
                                                     {"resnet50", true, {3, 4, 6, 3}},
                                                     {"resnet101", true, {3, 4, 23, 3}},
                                                     {"resnet152", true, {3, 8, 36, 3}}}};
  return kAll;
}

const Architecture& architecture_of(std::string_view name) {
  std::string names;
  for (const Architecture& known : architectures()) {
    if (known.name == name) return known;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
  }
  throw UsageError(fmt::format("there is no architecture '{}'", name), fmt::format("there are {}", names));
}

ResNet::ResNet(const ResNetSpec& spec, Placement placement)
    : spec_(spec),
      conv1_(add("conv1", conv(3, 64, 7, 2, placement))),
      bn1_(add("bn1", std::make_unique<BatchNorm2d>(64, placement))),
      relu_(add("relu", std::make_unique<ReLU>())),
      maxpool_(add("maxpool", std::make_unique<MaxPool2d>(Pool2dSpec{.window = 3, .stride = 2, .padding = 1}))) {
  const Architecture& architecture = architecture_of(spec.arch);
  int channels = 64;
  for (int i = 0; i < 4; ++i) {
    const int width = 64 << i, out = architecture.bottleneck ? Bottleneck::kExpansion * width : width;
    const int blocks = architecture.blocks[static_cast<size_t>(i)], stride = i == 0 ? 1 : 2;
    add(fmt::format("layer{}", i + 1), architecture.bottleneck ? stage<Bottleneck>(channels, width, out, blocks, stride, placement)
                                                               : stage<BasicBlock>(channels, width, out, blocks, stride, placement));
    channels = out;
  }
  if (spec.head == Head::fastai) {
    add("head", fastai_head(channels, spec.classes, placement));
  } else {
    add("avgpool", std::make_unique<AdaptiveAvgPool2d>());
    add("fc", std::make_unique<Linear>(channels, spec.classes, true, placement));
  }
  if (spec.seed) initialise(*this, *spec.seed);
}

namespace {

constexpr std::array<std::string_view, 6> kMembers = {"relu", "maxpool", "layer1", "layer2", "layer3", "layer4"};

}  // namespace

Tensor ResNet::forward(const Tensor& x) {
  return run_from(2, run_conv_norm_pool(conv1_, bn1_, relu_, maxpool_, x));  // (N,H/4,W/4,64)
}

Tensor ResNet::run_from(size_t member, const Tensor& x) {
  Tensor y = x;
  for (; member < kMembers.size(); ++member) y = at(kMembers[member])(y);  // (N,H/32,W/32,C)
  if (spec_.head == Head::fastai) return at("head")(y);                    // (N,classes)
  y = at("avgpool")(y);                                                    // (N,1,1,C)
  return at("fc")(flatten(y));
}

Module::Rest ResNet::rest_after(std::string_view child) {
  const auto member = std::find(kMembers.begin(), kMembers.end(), child);
  if (member == kMembers.end()) return {};
  return [this, next = static_cast<size_t>(member - kMembers.begin()) + 1](const Tensor& output) { return run_from(next, output); };
}

std::map<std::string, std::string> ResNet::description() const {
  return {{"architecture", spec_.arch}, {"head", spec_.head == Head::fastai ? "fastai" : "torchvision"}};
}

std::unique_ptr<Module> ResNet::made_anew(uint64_t seed) const {
  ResNetSpec spec = spec_;
  spec.seed = seed;
  const Tensor& weight = conv1_.weight();
  return std::make_unique<ResNet>(spec, Placement{.device = weight.device(), .dtype = weight.dtype()});
}

std::vector<std::vector<NamedTensor>> ResNet::parameter_groups() const {
  std::vector<std::vector<NamedTensor>> groups(3);
  for (const NamedTensor& parameter : parameters()) {
    const std::string top = parameter.name.substr(0, parameter.name.find('.'));
    const size_t group = top == "layer3" || top == "layer4" ? 1 : top == "head" || top == "fc" ? 2 : 0;
    groups[group].push_back(parameter);
  }
  return groups;
}

std::optional<Module::Indexed> ResNet::indexed(std::span<const int> indices) const {
  static constexpr std::array<std::string_view, 8> kBody{"conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"};
  constexpr int kChildren = static_cast<int>(kBody.size());
  const bool body = indices[0] == 0 || indices[0] == -2, head = indices[0] == 1 || indices[0] == -1;
  if (head && spec_.head == Head::fastai) return Indexed{.child = "head", .used = 1};
  if (!body) return std::nullopt;
  if (indices.size() == 1) return Indexed{.child = std::string(kBody.back()), .used = 1};
  if (indices[1] < -kChildren || indices[1] >= kChildren) return std::nullopt;
  return Indexed{.child = std::string(kBody[static_cast<size_t>((indices[1] + kChildren) % kChildren)]), .used = 2};
}

void initialise(Module& model, uint64_t seed) {
  for (const auto& [path, module] : model.modules()) {
    auto* linear = dynamic_cast<Linear*>(module);
    if (!linear && !dynamic_cast<Conv2d*>(module)) continue;
    for (const NamedTensor& parameter : module->own_parameters()) {
      const Shape& shape = parameter.tensor.shape();
      if (shape.rank() < 2) continue;
      const double fan = linear ? static_cast<double>(shape[1]) : static_cast<double>(shape[0] * shape[1] * shape[2]);
      const RandomKey key{.seed = seed, .purpose = Purpose::kInit, .item = hash_of(path + "." + parameter.name)};
      set_values(parameter.tensor, normal_numbers(static_cast<size_t>(shape.numel()), std::sqrt(2 / fan), key));
    }
  }
}

}  // namespace mirilla::nn
