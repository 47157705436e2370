// SPDX-License-Identifier: MIT
#include "weights/match.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "weights/file_bytes.h"

namespace mirilla::weights {
namespace {

constexpr std::string_view kCounter = "num_batches_tracked";
constexpr std::string_view kHeadPrefix = "head.";
constexpr int kLargestIndex = 9999;  // of a module; a larger number is not an index
constexpr size_t kMostNames = 6;     // shown per kind

bool is_counter(std::string_view name) { return name.ends_with(kCounter); }

/// Splits off a leading "<number>.".
std::optional<std::pair<int, std::string_view>> leading_index(std::string_view name) {
  int index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc{} || index < 0 || index > kLargestIndex || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return std::pair(index, name.substr(static_cast<size_t>(end - name.data()) + 1));
}

/// "head.8" for a head whose last linear layer is 8, "fc" if there is one, else empty.
std::string classifier_of(const std::vector<std::pair<std::string, Shape>>& names) {
  std::string best;
  int best_index = -1;
  for (const auto& [name, shape] : names) {
    if (name == "fc.weight" && shape.rank() == 2) return "fc";
    if (!name.starts_with(kHeadPrefix) || shape.rank() != 2) continue;
    const auto layer = leading_index(std::string_view(name).substr(kHeadPrefix.size()));
    if (!layer || layer->second != "weight" || layer->first <= best_index) continue;
    best_index = layer->first;
    best = fmt::format("{}{}", kHeadPrefix, layer->first);
  }
  return best;
}

bool belongs_to(std::string_view name, std::string_view module) {
  return !module.empty() && name.size() > module.size() && name.starts_with(module) && name[module.size()] == '.';
}

/// "conv1.weight, bn1.weight, and 4 more"
template <class Items, class Text>
std::string listed(const Items& items, Text&& text) {
  std::string line;
  for (size_t i = 0; i < std::min(items.size(), kMostNames); ++i) line += (i == 0 ? "" : ", ") + text(items[i]);
  if (items.size() > kMostNames) line += fmt::format(", and {} more", items.size() - kMostNames);
  return line;
}

std::string listed(const std::vector<std::string>& names) {
  return listed(names, [](const std::string& name) { return name; });
}

std::string listed(const std::vector<Misshaped>& misshaped) {
  return listed(misshaped, [](const Misshaped& m) {
    return fmt::format("{} is {} in the file and {} in the model", m.source, to_string(m.came), to_string(m.wanted));
  });
}

/// Both sides under the model's names, and what to do about their classifiers.
struct Sides {
  std::vector<std::pair<std::string, Shape>> wanted_names;
  std::vector<std::pair<std::string, Shape>> file_names;  // the model's names, in the file's order
  std::vector<std::string> sources;                       // the file's names
  std::string prefix;                                     // that these had
  std::string dropped;                                    // the file's classifier that is not loaded, or empty
  std::string fresh;                                      // the model's classifier that therefore gets no values, or empty
};

Sides sides_of(std::span<const Wanted> wanted, const StateDict& state) {
  Sides sides;
  for (const auto& [name, shape] : wanted) sides.wanted_names.emplace_back(name, shape);
  auto [names, prefix] = names_in(state);
  sides.prefix = std::move(prefix);
  size_t i = 0;
  for (const auto& [source, array] : state) {
    sides.file_names.emplace_back(std::move(names[i++]), array.shape());
    sides.sources.push_back(source);
  }
  return sides;
}

const Shape* shape_in(const std::vector<std::pair<std::string, Shape>>& names, std::string_view name) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == name; });
  return found == names.end() ? nullptr : &found->second;
}

/// Decides which classifiers are left out, and reports it: both have one name and different numbers of classes, or the file has an fc and
/// the model has a head in its place.
void settle_classifiers(Sides& sides, Report& report) {
  const std::string theirs = classifier_of(sides.file_names);
  const std::string ours = classifier_of(sides.wanted_names);
  if (theirs.empty() || ours.empty()) return;
  const Shape& their_shape = *shape_in(sides.file_names, theirs + ".weight");
  const Shape& our_shape = *shape_in(sides.wanted_names, ours + ".weight");
  const bool resized = theirs == ours && their_shape[0] != our_shape[0] && their_shape[1] == our_shape[1];
  const bool replaced = theirs == "fc" && ours != "fc";
  if (!resized && !replaced) return;
  sides.dropped = theirs;
  if (resized) sides.fresh = ours;
  report.remarks.push_back(
      fmt::format("{} ({} classes) is left out: the {} has {}", theirs, their_shape[0], ours == "fc" ? "model" : "new head", our_shape[0]));
}

}  // namespace

Report match(std::span<const Wanted> wanted, const StateDict& state) {
  Report report;
  Sides sides = sides_of(wanted, state);
  if (!sides.prefix.empty()) report.remarks.push_back(fmt::format("the prefix '{}' of the file's names was removed", sides.prefix));
  settle_classifiers(sides, report);
  std::unordered_map<std::string_view, size_t> by_name;
  for (size_t i = 0; i < sides.file_names.size(); ++i) by_name.emplace(sides.file_names[i].first, i);

  std::vector<bool> used(sides.sources.size(), false);
  for (const auto& [name, shape] : wanted) {
    const auto found = by_name.find(name);
    if (belongs_to(name, sides.fresh)) {
      report.fresh.push_back(name);
    } else if (found == by_name.end()) {
      if (!is_counter(name)) report.missing.push_back(name);
    } else {
      const Shape& came = sides.file_names[found->second].second;
      const std::string& source = sides.sources[found->second];
      used[found->second] = true;
      const bool fits = came == shape || (is_counter(name) && came.numel() == shape.numel());
      if (fits)
        report.matched.push_back({name, source});
      else
        report.misshaped.push_back({name, source, shape, came});
    }
  }
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    const std::string& name = sides.file_names[i].first;
    const bool counts = !sides.prefix.empty() && name.find('.') == name.npos && state.at(sides.sources[i]).numel() == 1;
    if (belongs_to(name, sides.dropped) || counts)
      report.left_out.push_back(sides.sources[i]);
    else if (!is_counter(name))
      report.unexpected.push_back(sides.sources[i]);
  }
  return report;
}

std::string describe(const Report& report) {
  const size_t wanted = report.matched.size() + report.missing.size() + report.misshaped.size() + report.fresh.size();
  std::string text = fmt::format("{} of the model's {} tensors are in the file", report.matched.size(), wanted);
  for (const auto& remark : report.remarks) text += "\n" + remark;
  if (!report.missing.empty()) text += fmt::format("\nnot in the file ({}): {}", report.missing.size(), listed(report.missing));
  if (!report.unexpected.empty()) text += fmt::format("\nnot in the model ({}): {}", report.unexpected.size(), listed(report.unexpected));
  if (!report.misshaped.empty()) text += fmt::format("\nof another shape ({}): {}", report.misshaped.size(), listed(report.misshaped));
  return text;
}

void require_fit(const Report& report, std::string_view origin, std::span<const std::string_view> may_be_missing) {
  if (report.matched.empty()) {
    throw WeightsError(fmt::format("{} has no tensor with a name of the model; its names are {}", shown(origin),
                                   report.unexpected.empty() ? "none" : listed(report.unexpected)),
                       "use torchvision's names (layer1.0.conv1.weight) or fastai's (0.4.0.conv1.weight)");
  }
  std::vector<std::string> missing;
  for (const auto* names : {&report.missing, &report.fresh}) {
    for (const auto& name : *names) {
      const bool allowed = std::any_of(may_be_missing.begin(), may_be_missing.end(), [&](auto prefix) { return name.starts_with(prefix); });
      if (!allowed) missing.push_back(name);
    }
  }
  std::string why;
  if (!report.misshaped.empty()) why = listed(report.misshaped);
  if (!missing.empty())
    why += fmt::format("{}{} tensors of the model are not in it: {}", why.empty() ? "" : "; ", missing.size(), listed(missing));
  if (!why.empty()) {
    throw WeightsError(fmt::format("{} does not fit the model: {}", shown(origin), why),
                       "is it for this architecture and number of classes?");
  }
}

}  // namespace mirilla::weights
