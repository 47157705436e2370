// SPDX-License-Identifier: MIT
#include "nn/measure/randomise.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "nn/files/model_tensors.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

std::vector<std::string> parts_from_the_top(const Module& model) {
  std::vector<std::string> parts;
  for (const Module::Child& child : model.children())
    if (!child.module->parameters().empty()) parts.push_back(child.name);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::unique_ptr<Module> with_random_top(const Module& model, int64_t count, uint64_t seed) {
  auto copy = model.made_anew(seed);
  if (!copy)
    throw UsageError(
        fmt::format("randomisation needs a second network with other initial values, but a {} does not make one", model.kind()),
        "override made_anew, or omit this measure");
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
