// SPDX-License-Identifier: MIT
#include "nn/explain/run_after.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

// What each module from the root down to the one at `path` makes of the next; none where one of them does not say.
std::vector<Module::Rest> rests_after(Module& model, std::string_view path) {
  std::vector<Module::Rest> rests;
  Module* at = &model;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    const auto child = std::ranges::find(at->children(), name, &Module::Child::name);
    Module::Rest rest = child == at->children().end() ? Module::Rest() : at->rest_after(name);
    if (!rest) return {};
    rests.push_back(std::move(rest));
    at = child->module.get();
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return rests;
}

std::vector<Module::Rest> rests_or_throw(Module& model, std::string_view path) {
  std::vector<Module::Rest> rests = rests_after(model, path);
  if (!rests.empty()) return rests;
  throw UsageError(fmt::format("the network cannot continue from '{}' alone: a shortcut goes around it, or it has no places", path),
                   "use a layer on the network's main path: in a ResNet layer4, layer3 and blocks such as layer3.0");
}

}  // namespace

void check_can_run_after(Module& model, std::string_view path) { rests_or_throw(model, path); }

Tensor run_after(Module& model, std::string_view path, const Tensor& output) {
  Tensor y = output;
  for (const Module::Rest& rest : rests_or_throw(model, path) | std::views::reverse) y = rest(y);
  return y;
}

}  // namespace mirilla::nn
