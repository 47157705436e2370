// SPDX-License-Identifier: MIT
#include "nn/explain/run_after.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "engine/ops/linear.h"

namespace mirilla::nn {

namespace {

constexpr std::array<std::string_view, 6> kChain = {"relu", "maxpool", "layer1", "layer2", "layer3", "layer4"};

// How many members of kChain have run in full, and how many blocks of the next.
struct Position {
  size_t members = 0, blocks = 0;
};

std::optional<Position> position_after(ResNet& model, std::string_view path) {
  const size_t dot = path.find('.');
  const auto member = std::find(kChain.begin(), kChain.end(), path.substr(0, dot));
  if (member == kChain.end()) return std::nullopt;
  const auto index = static_cast<size_t>(member - kChain.begin());
  if (dot == std::string_view::npos) return Position{index + 1, 0};
  std::string_view block = path.substr(dot + 1);
  if (block.ends_with(".relu")) block.remove_suffix(std::string_view(".relu").size());
  size_t number = 0;
  const auto [end, error] = std::from_chars(block.data(), block.data() + block.size(), number);
  if (error != std::errc() || end != block.data() + block.size() || number >= model.at(*member).children().size()) return std::nullopt;
  return Position{index, number + 1};
}

Position position_or_throw(ResNet& model, std::string_view path) {
  if (const auto position = position_after(model, path)) return *position;
  throw UsageError(fmt::format("the network cannot go on from '{}' alone: a shortcut goes around it, or it has no places", path),
                   "layer4, layer3 and blocks such as layer3.0 are where it can");
}

}  // namespace

void check_can_run_after(ResNet& model, std::string_view path) { position_or_throw(model, path); }

Tensor run_after(ResNet& model, std::string_view path, const Tensor& output) {
  const Position position = position_or_throw(model, path);
  Tensor y = output;
  size_t blocks = position.blocks;
  for (size_t i = position.members; i < kChain.size(); ++i, blocks = 0) {
    Module& member = model.at(kChain[i]);
    if (blocks == 0) {
      y = member(y);
      continue;
    }
    for (size_t b = blocks; b < member.children().size(); ++b) y = (*member.children()[b].module)(y);
  }
  if (model.spec().head == Head::fastai) return model.at("head")(y);
  return model.at("fc")(flatten(model.at("avgpool")(y)));
}

}  // namespace mirilla::nn
