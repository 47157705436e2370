// SPDX-License-Identifier: MIT
// The names by which a module can be requested: torchvision's, fastai's index paths, patterns.
#include <fmt/ranges.h>

#include <charconv>

#include "nn/modules/module.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kWildcards = "*?";

bool is_pattern(std::string_view name) { return name.find_first_of(kWildcards) != std::string_view::npos; }

// One step of a path: "conv1" of ".conv1", -2 of "[-2]". A number in brackets is never a name.
struct Step {
  std::string text;
  bool bracketed = false;

  std::optional<int> number() const {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
  }
};

// "model[0][-2].conv1" -> model, [0], [-2], conv1. Empty if it is not of this form.
std::optional<std::vector<Step>> steps_of(std::string_view path) {
  std::vector<Step> steps;
  size_t at = 0;
  while (at < path.size()) {
    const bool bracketed = path[at] == '[';
    if (path[at] == '.' && steps.empty()) return std::nullopt;
    const size_t begin = at + (bracketed || path[at] == '.' ? 1 : 0);
    const size_t end = bracketed ? path.find(']', begin) : std::min(path.find_first_of(".[", begin), path.size());
    if (end == std::string_view::npos || end == begin) return std::nullopt;
    steps.push_back({std::string(path.substr(begin, end - begin)), bracketed});
    if (bracketed && !steps.back().number()) return std::nullopt;
    at = end + (bracketed ? 1 : 0);
    if (bracketed && at < path.size() && path[at] != '.' && path[at] != '[') return std::nullopt;
  }
  return steps;
}

// Whether all of `text` is of the form `pattern`.
bool fits(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    const bool over_dots = pattern.size() > 1 && pattern[1] == '*';
    const std::string_view rest = pattern.substr(over_dots ? 2 : 1);
    for (size_t taken = 0;; ++taken) {
      if (fits(rest, text.substr(taken))) return true;
      if (taken == text.size() || (text[taken] == '.' && !over_dots)) return false;
    }
  }
  if (text.empty()) return false;
  const bool same = pattern[0] == '?' ? text[0] != '.' : pattern[0] == text[0];
  return same && fits(pattern.substr(1), text.substr(1));
}

UsageError unknown(std::string_view name, const std::string& path, const Module& parent) {
  std::vector<std::string> names;
  for (const Module::Child& child : parent.children()) names.push_back(child.name);
  const std::string where = path.empty() ? fmt::format("a {}", parent.kind()) : fmt::format("'{}', a {},", path, parent.kind());
  return UsageError(fmt::format("the model has no module '{}'", name),
                    fmt::format("{} has {}; names are torchvision's (layer2.0.bn1) or fastai's (model[0][-2] is layer3), `mirilla summary` "
                                "lists them all",
                                where, names.empty() ? "no module inside" : fmt::format("{}", fmt::join(names, ", "))));
}

}  // namespace

std::string Module::resolve(std::string_view name) {
  if (is_pattern(name))
    throw UsageError(fmt::format("expected the name of one module, but '{}' is a pattern", name), "use watch_all for patterns");
  auto steps = steps_of(name);
  if (steps && !steps->empty() && steps->front().text == "model" && !child("model")) steps->erase(steps->begin());
  if (!steps || steps->empty()) throw unknown(name, "", *this);
  Module* at = this;
  std::string path;
  for (size_t i = 0; i < steps->size();) {
    const Step& step = (*steps)[i];
    Module* below = step.bracketed ? nullptr : at->child(step.text);
    Indexed next{.child = step.text, .used = 1};
    if (!below) {
      std::vector<int> indices;
      for (size_t k = i; k < steps->size() && (*steps)[k].number(); ++k) indices.push_back(*(*steps)[k].number());
      const auto found = indices.empty() ? std::nullopt : at->indexed(indices);
      if (!found) throw unknown(name, path, *at);
      next = *found;
      below = &at->at(next.child);
    }
    path = full_name(path, next.child);
    at = below;
    i += next.used;
  }
  return path;
}

std::vector<std::string> Module::matching(std::string_view pattern) {
  if (!is_pattern(pattern)) return {resolve(pattern)};
  std::string named(pattern);
  if (const size_t bracket = pattern.rfind(']'); bracket != std::string_view::npos)
    named = resolve(pattern.substr(0, bracket + 1)) + std::string(pattern.substr(bracket + 1));
  std::vector<std::string> found;
  for (const auto& [path, module] : modules())
    if (!path.empty() && fits(named, path)) found.push_back(path);
  if (found.empty())
    throw UsageError(fmt::format("no module of the model matches '{}'", pattern),
                     "'*' is any text without a dot, '**' any text, '?' one character; `mirilla summary` lists all names");
  return found;
}

}  // namespace mirilla::nn
