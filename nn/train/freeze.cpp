// SPDX-License-Identifier: MIT
#include "nn/train/freeze.h"

#include <set>

#include "kernels/core/error.h"
#include "nn/modules/layers.h"

namespace mirilla::nn {

namespace {

std::set<std::string> norm_parameters(Module& model) {
  std::set<std::string> names;
  for (const auto& [path, module] : model.modules()) {
    if (!dynamic_cast<BatchNorm*>(module)) continue;
    for (const NamedTensor& parameter : module->own_parameters()) names.insert(path.empty() ? parameter.name : path + "." + parameter.name);
  }
  return names;
}

}  // namespace

void freeze_to(Module& model, Optimizer& optimizer, int first) {
  const int groups = static_cast<int>(optimizer.groups().size());
  const int begin = first < 0 ? groups + first : first;
  if (begin < 0 || begin >= groups) throw Error(fmt::format("freeze_to: there is no parameter group {} of {}", first, groups));
  const std::set<std::string> norms = norm_parameters(model);
  for (int g = 0; g < groups; ++g) {
    for (const NamedTensor& parameter : optimizer.groups()[static_cast<size_t>(g)]) {
      const bool trains = g >= begin || norms.contains(parameter.name);
      Tensor tensor = parameter.tensor;
      tensor.clear_grad();  // otherwise the optimizer would still change the frozen parameters
      tensor.set_requires_grad(trains);
    }
  }
  optimizer.clear();
}

}  // namespace mirilla::nn
