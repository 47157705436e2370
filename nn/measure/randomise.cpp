// SPDX-License-Identifier: MIT
#include "nn/measure/randomise.h"

#include <algorithm>

#include "nn/files/model_tensors.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

std::vector<std::string> parts_from_the_top(const ResNet& model) {
  std::vector<std::string> parts;
  for (const Module::Child& child : model.children())
    if (!child.module->parameters().empty()) parts.push_back(child.name);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::unique_ptr<ResNet> with_random_top(const ResNet& model, int64_t count, uint64_t seed) {
  ResNetSpec spec = model.spec();
  spec.seed = seed;
  auto copy = std::make_unique<ResNet>(spec, placement_of(model));
  const std::vector<std::string> parts = parts_from_the_top(model);
  const auto kept = [&](const std::string& name) {  // "layer4.0.conv1.weight" is of the part "layer4"
    const auto part = std::find(parts.begin(), parts.end(), name.substr(0, name.find('.')));
    return part - parts.begin() >= count;
  };
  const std::vector<NamedTensor> from = parameters_and_buffers(model), to = parameters_and_buffers(*copy);
  for (size_t i = 0; i < from.size(); ++i)
    if (kept(from[i].name)) Tensor(to[i].tensor).copy_from(from[i].tensor);
  copy->evaluate();
  return copy;
}

}  // namespace mirilla::nn
