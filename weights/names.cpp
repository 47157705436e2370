// SPDX-License-Identifier: MIT
#include "weights/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <string_view>

#include "kernels/core/error.h"

namespace mirilla::weights {
namespace {

using Views = std::vector<std::string_view>;

constexpr std::string_view kBodyChildren[] = {"conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"};  // fastai's
constexpr int kLargestIndex = 9999;  // of a module; a larger number is not an index

/// Splits off a leading "<number>.".
std::optional<std::pair<int, std::string_view>> leading_index(std::string_view name) {
  int index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc{} || index < 0 || index > kLargestIndex || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return std::pair(index, name.substr(static_cast<size_t>(end - name.data()) + 1));
}

bool take(std::string_view& name, std::string_view start) {
  if (!name.starts_with(start)) return false;
  name.remove_prefix(start.size());
  return true;
}

/// A name inside fastai's Sequential(body, head) as the model spells it; any other name as it is.
std::string from_fastai(std::string_view name) {
  if (name.starts_with("1.")) return fmt::format("head.{}", name.substr(2));
  if (!name.starts_with("0.")) return std::string(name);
  const auto child = leading_index(name.substr(2));
  if (!child || child->first >= static_cast<int>(std::size(kBodyChildren))) return std::string(name);
  return fmt::format("{}.{}", kBodyChildren[child->first], child->second);
}

/// "convolution.weight" after `conv` and `norm`, whatever they are called: "conv1.weight"; empty for another name.
std::string conv_or_norm(std::string_view rest, std::string_view conv, std::string_view norm) {
  if (take(rest, "convolution.")) return fmt::format("{}.{}", conv, rest);
  if (take(rest, "normalization.")) return fmt::format("{}.{}", norm, rest);
  return {};
}

/// A name of Hugging Face's ResNet as the model spells it; any other name as it is.
std::string from_hugging_face(std::string_view whole) {
  std::string_view name = whole;
  take(name, "resnet.");
  std::string ours;
  if (take(name, "classifier.1.")) return fmt::format("fc.{}", name);
  if (take(name, "embedder.embedder.")) {
    ours = conv_or_norm(name, "conv1", "bn1");
  } else if (take(name, "encoder.stages.")) {
    const auto stage = leading_index(name);
    if (!stage || !take(name = stage->second, "layers.")) return std::string(whole);
    const auto block = leading_index(name);
    if (!block) return std::string(whole);
    const std::string at = fmt::format("layer{}.{}.", stage->first + 1, block->first);
    name = block->second;
    if (take(name, "shortcut.")) {
      ours = conv_or_norm(name, at + "downsample.0", at + "downsample.1");
    } else if (take(name, "layer.")) {
      const auto layer = leading_index(name);
      if (layer)
        ours = conv_or_norm(layer->second, fmt::format("{}conv{}", at, layer->first + 1), fmt::format("{}bn{}", at, layer->first + 1));
    }
  }
  return ours.empty() ? std::string(whole) : ours;
}

/// A weight that each spelling has in every ResNet, and how its other names follow.
struct Spelling {
  std::string_view anchor;
  std::string (*ours)(std::string_view name);
};
constexpr Spelling kSpellings[] = {
    {"layer1.0.conv1.weight", [](std::string_view name) { return std::string(name); }},
    {"0.4.0.conv1.weight", from_fastai},
    {"resnet.encoder.stages.0.layers.0.layer.0.convolution.weight", from_hugging_face},
    {"encoder.stages.0.layers.0.layer.0.convolution.weight", from_hugging_face},
};

struct Found {
  const Spelling* spelling = nullptr;
  std::string_view prefix;
};

/// The spelling, and what stands before it; nothing if the file has no such network, or several.
std::optional<Found> spelling_of(const Views& names) {
  for (const Spelling& spelling : kSpellings) {
    std::optional<Found> found;
    for (const std::string_view name : names) {
      const bool ends = name.ends_with(spelling.anchor) &&
                        (name.size() == spelling.anchor.size() || name[name.size() - spelling.anchor.size() - 1] == '.');
      if (!ends) continue;
      if (found) return std::nullopt;
      found = Found{&spelling, name.substr(0, name.size() - spelling.anchor.size())};
    }
    if (found) return found;
  }
  return std::nullopt;
}

/// The prefix that all names share, of a file without a whole ResNet: only what programs put before a network of any kind.
std::string_view shared_prefix(const Views& names) {
  constexpr std::string_view kKnown[] = {"module.", "_orig_mod.", "model.", "net.", "network.", "backbone."};
  const std::string_view first = names.empty() ? std::string_view() : names[0];
  size_t length = 0;
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view known : kKnown) {
      const std::string_view longer = first.substr(0, length + known.size());
      if (!longer.substr(std::min(length, longer.size())).starts_with(known)) continue;
      if (!std::all_of(names.begin(), names.end(), [&](std::string_view name) { return name.starts_with(longer); })) continue;
      length = longer.size();
      more = true;
    }
  }
  return first.substr(0, length);
}

/// fastai's Sequential(body, head) has no other children.
bool is_whole_sequential(const Views& names, std::string_view prefix) {
  return std::all_of(names.begin(), names.end(), [&](std::string_view name) {
    return !name.starts_with(prefix) || name.substr(prefix.size()).starts_with("0.") || name.substr(prefix.size()).starts_with("1.");
  });
}

}  // namespace

ModelNames names_in(const StateDict& state) {
  Views names;
  for (const auto& entry : state) names.push_back(entry.first);
  auto found = spelling_of(names);
  if (found && found->spelling->ours == from_fastai && !is_whole_sequential(names, found->prefix)) found.reset();
  ModelNames result;
  result.prefix = found ? found->prefix : shared_prefix(names);
  for (std::string_view name : names) {
    const bool inside = take(name, result.prefix);
    result.names.push_back(found && inside ? found->spelling->ours(name) : std::string(name));
  }
  return result;
}

std::string spelled(std::string_view ours, Naming naming) {
  constexpr std::string_view kHead = "head.";
  const bool head = ours.starts_with(kHead);
  if (naming == Naming::ours || (naming == Naming::torchvision && !head)) return std::string(ours);
  if (naming == Naming::torchvision)
    throw WeightsError(fmt::format("the head's {} has no place in torchvision's ResNet, which ends in fc", ours),
                       "fastai's names have one for it");
  if (head) return fmt::format("1.{}", ours.substr(kHead.size()));
  for (size_t i = 0; i < std::size(kBodyChildren); ++i)
    if (std::string_view rest = ours; take(rest, kBodyChildren[i]) && rest.starts_with('.')) return fmt::format("0.{}{}", i, rest);
  throw WeightsError(fmt::format("{} has no place in fastai's Sequential(body, head)", ours), "torchvision's names have one for it");
}

std::vector<std::string> model_names(const StateDict& state) { return names_in(state).names; }

}  // namespace mirilla::weights
