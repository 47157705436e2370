// SPDX-License-Identifier: MIT
#include "nn/inspect/summary.h"

#include <string_view>

#include "nn/run/evaluate.h"

namespace mirilla::nn {

namespace {

int64_t multiply_adds_of(const Module& module, const Shape& output) {
  if (dynamic_cast<const Conv2d*>(&module) == nullptr && dynamic_cast<const Linear*>(&module) == nullptr) return 0;
  const Shape& weight = module.own_parameters().front().tensor.shape();  // (K,R,S,C) or (O,I)
  return output.numel() * (weight.numel() / weight[0]);                  // batch of 1
}

bool is_below(std::string_view name, std::string_view parent) {
  return parent.empty() || (name.size() > parent.size() && name.starts_with(parent) && name[parent.size()] == '.');
}

}  // namespace

std::vector<ModuleSummary> summarise(Module& model, int size) {
  const auto modules = model.modules();
  std::vector<Watch> watches;
  for (const auto& [name, module] : modules) watches.push_back(model.watch(name));
  const Placement placement = placement_of(model);
  {
    const EvaluationMode mode(model);
    const tape::NoGrad no_grad;
    model(zeros({1, size, size, 3}, placement.dtype, placement.device));
  }

  std::vector<ModuleSummary> rows;
  for (size_t i = 0; i < modules.size(); ++i) {
    const auto& [name, module] = modules[i];
    ModuleSummary row{.name = name, .kind = std::string(module->kind())};
    if (watches[i].calls() > 0) row.output = watches[i].activation(watches[i].calls() - 1).shape();
    for (const NamedTensor& parameter : module->parameters()) row.parameters += parameter.tensor.numel();
    if (module->children().empty())
      for (size_t call = 0; call < watches[i].calls(); ++call) {
        const Tensor output = watches[i].activation(call);
        row.activation_bytes += output.numel() * static_cast<int64_t>(size_of(output.dtype()));
        row.multiply_adds += multiply_adds_of(*module, output.shape());
      }
    rows.push_back(std::move(row));
  }
  for (ModuleSummary& parent : rows)
    for (const ModuleSummary& row : rows)
      if (&row != &parent && is_below(row.name, parent.name) && model.at(row.name).children().empty()) {
        parent.multiply_adds += row.multiply_adds;
        parent.activation_bytes += row.activation_bytes;
      }
  return rows;
}

}  // namespace mirilla::nn
