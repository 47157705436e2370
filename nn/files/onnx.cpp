// SPDX-License-Identifier: MIT
#include "nn/files/onnx.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"
#include "weights/names.h"
#include "weights/protobuf.h"

namespace mirilla::nn {

namespace {

using weights::Protobuf;
using Ints = std::vector<int64_t>;

constexpr int kIrVersion = 8, kOpset = 17;
constexpr int kFloat = 1;                                                  // TensorProto.DataType
constexpr int kAttributeFloat = 1, kAttributeInt = 2, kAttributeInts = 7;  // AttributeProto.AttributeType
constexpr float kEpsilon = 1e-5f;                                          // of batch norms, as in nn/modules/layers.h

Protobuf attribute(std::string_view name, int type) {
  Protobuf made;
  made.text(1, name);
  made.integer(20, type);
  return made;
}
Protobuf attribute(std::string_view name, int64_t value) {
  Protobuf made = attribute(name, kAttributeInt);
  made.integer(3, value);
  return made;
}
Protobuf attribute(std::string_view name, const Ints& values) {
  Protobuf made = attribute(name, kAttributeInts);
  for (const int64_t value : values) made.integer(8, value);
  return made;
}
Protobuf attribute(std::string_view name, float value) {
  Protobuf made = attribute(name, kAttributeFloat);
  made.real(2, value);
  return made;
}

/// The graph, node by node. Each function returns the name of its result.
class Graph {
 public:
  explicit Graph(const weights::StateDict& state) {
    const std::vector<std::string> names = weights::model_names(state);
    size_t at = 0;
    for (const auto& [name, array] : state) arrays_.emplace(names[at++], &array);
  }

  bool has(const std::string& name) const { return arrays_.contains(name); }

  std::string node(std::string_view type, const std::string& name, const std::vector<std::string>& inputs,
                   const std::vector<Protobuf>& attributes = {}) {
    Protobuf made;
    for (const std::string& input : inputs) made.text(1, input);
    made.text(2, name);
    made.text(3, name);
    made.text(4, type);
    for (const Protobuf& one : attributes) made.message(5, one);
    graph_.message(1, made);
    return name;
  }

  std::string constant(const std::string& name, const Shape& shape, std::span<const float> values) {
    Protobuf made;
    for (const int64_t extent : shape) made.integer(1, extent);
    made.integer(2, kFloat);
    made.text(8, name);
    made.text(9, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
    initializers_.push_back(std::move(made));
    return name;
  }

  /// A parameter or buffer.
  std::string parameter(const std::string& name) {
    const weights::Array& array = at(name);
    return constant(name, array.shape(), weights::to_f32(array));
  }

  std::string conv(const std::string& x, const std::string& name, int64_t stride, int64_t padding) {
    const Shape& shape = at(name + ".weight").shape();
    if (shape.rank() != 4) throw WeightsError(fmt::format("{}.weight is {}, expected four extents", name, to_string(shape)));
    std::vector<std::string> inputs{x, parameter(name + ".weight")};
    if (has(name + ".bias")) inputs.push_back(parameter(name + ".bias"));
    return node("Conv", name, inputs,
                {attribute("kernel_shape", Ints{shape[2], shape[3]}), attribute("strides", Ints{stride, stride}),
                 attribute("pads", Ints{padding, padding, padding, padding})});
  }

  std::string norm(const std::string& x, const std::string& name) {
    std::vector<std::string> inputs{x};
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) inputs.push_back(parameter(name + part));
    return node("BatchNormalization", name, inputs, {attribute("epsilon", kEpsilon)});
  }

  std::string linear(const std::string& x, const std::string& name) {
    std::vector<std::string> inputs{x, parameter(name + ".weight")};
    if (has(name + ".bias")) inputs.push_back(parameter(name + ".bias"));
    return node("Gemm", name, inputs, {attribute("transB", int64_t{1})});
  }

  std::string finished(const std::string& logits, int64_t classes) {
    graph_.text(2, "resnet");
    for (const Protobuf& one : initializers_) graph_.message(5, one);
    graph_.message(11, value("pictures", {"batch", 3, "height", "width"}));
    graph_.message(12, value(logits, {"batch", classes}));
    return graph_.bytes();
  }

 private:
  struct Extent {
    Extent(const char* name) : free(name) {}
    Extent(int64_t extent) : fixed(extent) {}
    std::string free;
    int64_t fixed = 0;
  };

  const weights::Array& at(const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end())
      throw WeightsError(fmt::format("there is no tensor {} to write", name), "`mirilla weights verify` shows what is missing");
    return *found->second;
  }

  static Protobuf value(const std::string& name, const std::vector<Extent>& shape) {
    Protobuf dimensions, tensor, type, made;
    for (const Extent& extent : shape) {
      Protobuf one;
      extent.free.empty() ? one.integer(1, extent.fixed) : one.text(2, extent.free);
      dimensions.message(1, one);
    }
    tensor.integer(1, kFloat);
    tensor.message(2, dimensions);
    type.message(1, tensor);
    made.text(1, name);
    made.message(2, type);
    return made;
  }

  std::unordered_map<std::string, const weights::Array*> arrays_;
  Protobuf graph_;
  std::vector<Protobuf> initializers_;
};

/// relu(last norm + identity): a BasicBlock or a Bottleneck.   [torchvision.models.resnet]
std::string block(Graph& graph, const std::string& x, const std::string& name, int64_t stride) {
  const bool bottleneck = graph.has(name + ".conv3.weight");
  const int convolutions = bottleneck ? 3 : 2, with_stride = bottleneck ? 2 : 1;
  std::string y = x;
  for (int i = 1; i <= convolutions; ++i) {
    const bool padded = !bottleneck || i == 2;
    y = graph.conv(y, fmt::format("{}.conv{}", name, i), i == with_stride ? stride : 1, padded ? 1 : 0);
    y = graph.norm(y, fmt::format("{}.bn{}", name, i));
    if (i < convolutions) y = graph.node("Relu", fmt::format("{}.relu{}", name, i), {y});
  }
  std::string identity = x;
  if (graph.has(name + ".downsample.0.weight"))
    identity = graph.norm(graph.conv(x, name + ".downsample.0", stride, 0), name + ".downsample.1");
  return graph.node("Relu", name, {graph.node("Add", name + ".add", {y, identity})});
}

std::string body(Graph& graph, std::string x) {
  x = graph.node("Relu", "relu", {graph.norm(graph.conv(x, "conv1", 2, 3), "bn1")});
  x = graph.node("MaxPool", "maxpool", {x},
                 {attribute("kernel_shape", Ints{3, 3}), attribute("strides", Ints{2, 2}), attribute("pads", Ints{1, 1, 1, 1})});
  for (int layer = 1; layer <= 4; ++layer)
    for (int i = 0; graph.has(fmt::format("layer{}.{}.conv1.weight", layer, i)); ++i)
      x = block(graph, x, fmt::format("layer{}.{}", layer, i), layer > 1 && i == 0 ? 2 : 1);
  return x;
}

std::string head(Graph& graph, const std::string& x, Head kind) {
  const std::vector<Protobuf> from_channels{attribute("axis", int64_t{1})};
  const std::string average = graph.node("GlobalAveragePool", "average", {x});
  if (kind == Head::torchvision) return graph.linear(graph.node("Flatten", "flatten", {average}, from_channels), "fc");
  const std::string both = graph.node("Concat", "head.0", {graph.node("GlobalMaxPool", "maximum", {x}), average}, from_channels);
  std::string y = graph.norm(graph.node("Flatten", "head.1", {both}, from_channels), "head.2");
  y = graph.norm(graph.node("Relu", "head.5", {graph.linear(y, "head.4")}), "head.6");
  return graph.linear(y, "head.8");
}

std::string normalised(Graph& graph, const ModelInfo& info) {
  const std::string centred = graph.node("Sub", "centred", {"pictures", graph.constant("mean", {3, 1, 1}, info.mean)});
  return graph.node("Div", "normalised", {centred, graph.constant("std", {3, 1, 1}, info.std)});
}

Protobuf property(std::string_view key, const std::string& value) {
  Protobuf made;
  made.text(1, key);
  made.text(2, value);
  return made;
}

}  // namespace

void write_onnx(const std::filesystem::path& path, const weights::StateDict& state, const ModelInfo& info, const OnnxOptions& options) {
  const NetworkInFile network = network_in(state, path.string());
  if (!network.head) throw WeightsError("a body without a classifier cannot be written as ONNX", "train it first");
  Graph graph(state);
  const std::string last = head(graph, body(graph, options.normalise ? normalised(graph, info) : "pictures"), *network.head);
  const std::string logits = graph.node("Identity", "logits", {last});
  Protobuf opset, model;
  opset.text(1, "");
  opset.integer(2, kOpset);
  model.integer(1, kIrVersion);
  model.text(2, "mirilla");
  model.text(7, graph.finished(logits, network.classes));
  model.message(8, opset);
  const nlohmann::json vocabulary = info.vocabulary, mean = info.mean, std = info.std;
  if (!info.vocabulary.empty()) model.message(14, property("vocab", vocabulary.dump()));
  model.message(14, property("architecture", network.arch));
  model.message(14, property("resize", std::to_string(info.resize)));
  model.message(14, property("size", std::to_string(info.size)));
  model.message(14, property("mean", mean.dump()));
  model.message(14, property("std", std.dump()));
  write_atomically(path, model.bytes());
}

}  // namespace mirilla::nn
