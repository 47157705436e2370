// SPDX-License-Identifier: MIT
#include "apps/weights_print.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "apps/usage.h"
#include "data/archive/names.h"
#include "kernels/core/error.h"
#include "weights/names.h"

namespace mirilla::apps {

namespace {

using Json = nlohmann::ordered_json;

std::string network_text(const Recognised& recognised) {
  if (!recognised.network) return fmt::format("no network that is known here: {}\n", data::printable(recognised.why_not));
  const nn::NetworkInFile& network = *recognised.network;
  if (!network.head) return fmt::format("{}, its body alone\n", network.arch);
  return fmt::format("{} with {} classes in {}\n", network.arch, network.classes,
                     *network.head == nn::Head::fastai ? "fastai's head" : "torchvision's fc");
}

size_t width_of(const std::vector<std::string>& names) {
  size_t width = 4;
  for (const std::string& name : names) width = std::max(width, name.size());
  return width;
}

std::vector<int64_t> extents(const Shape& shape) { return {shape.begin(), shape.end()}; }

// Each name with the most similar one of the other side, as a table.
std::string names_text(std::string_view title, const std::vector<std::string>& names, const std::vector<std::string>& others) {
  if (names.empty()) return {};
  const size_t width = width_of(names);
  std::string text = fmt::format("\n{} ({})\n", title, names.size());
  for (const std::string& name : names) {
    const std::string similar = nearest(name, others);
    text += similar.empty() ? fmt::format("  {}\n", data::printable(name))
                            : fmt::format("  {:<{}}  similar: {}\n", data::printable(name), width, data::printable(similar));
  }
  return text;
}

}  // namespace

Recognised recognise(const weights::StateDict& state, std::string_view origin) {
  Recognised recognised;
  recognised.prefix = weights::names_in(state).prefix;
  try {
    recognised.network = nn::network_in(state, origin);
  } catch (const WeightsError& error) {
    recognised.why_not = error.message();
  }
  return recognised;
}

std::string inspection_text(const std::vector<weights::Facts>& facts, const Recognised& recognised) {
  std::vector<std::string> names;
  int64_t values = 0, bytes = 0;
  for (const weights::Facts& one : facts) {
    names.push_back(data::printable(one.name));
    values += one.shape.numel();
    bytes += one.shape.numel() * static_cast<int64_t>(size_of(one.dtype));
  }
  const size_t width = width_of(names);
  std::string text = fmt::format("{:<{}}  {:<18}  {:<5}  {:>12}  {:>12}  not finite\n", "name", width, "shape", "type", "norm", "largest");
  for (size_t i = 0; i < facts.size(); ++i) {
    const weights::Facts& one = facts[i];
    std::string wrong;
    if (one.nan > 0) wrong = fmt::format("{} NaN", one.nan);
    if (one.infinite > 0) wrong += fmt::format("{}{} infinite", wrong.empty() ? "" : ", ", one.infinite);
    text += fmt::format("{:<{}}  {:<18}  {:<5}  {:>12.6g}  {:>12.6g}{}{}\n", names[i], width, to_string(one.shape), name_of(one.dtype),
                        one.norm, one.largest, wrong.empty() ? "" : "  ", wrong);
  }
  text += fmt::format("\n{} tensors, {} values, {:.1f} MB: {}", facts.size(), values, static_cast<double>(bytes) * 1e-6,
                      network_text(recognised));
  if (!recognised.prefix.empty()) text += fmt::format("the names have the prefix '{}'\n", data::printable(recognised.prefix));
  return text;
}

Json inspection_json(const std::vector<weights::Facts>& facts, const Recognised& recognised) {
  Json tensors = Json::array();
  for (const weights::Facts& one : facts)
    tensors.push_back({{"name", one.name},
                       {"ours", one.ours},
                       {"shape", extents(one.shape)},
                       {"dtype", name_of(one.dtype)},
                       {"norm", one.norm},
                       {"largest", one.largest},
                       {"nan", one.nan},
                       {"infinite", one.infinite}});
  Json document = {{"architecture", nullptr}, {"classes", nullptr}, {"prefix", recognised.prefix}, {"tensors", tensors}};
  if (recognised.network) document["architecture"] = recognised.network->arch;
  if (recognised.network && recognised.network->head) document["classes"] = recognised.network->classes;
  return document;
}

bool Verdict::good() const {
  return report.missing.empty() && report.unexpected.empty() && report.misshaped.empty() && report.fresh.empty() && flaws.empty();
}

std::string verdict_text(const Verdict& verdict) {
  const weights::Report& report = verdict.report;
  std::string text;
  for (const std::string& remark : report.remarks) text += data::printable(remark) + "\n";
  text += names_text("missing: the network has it and the file does not", report.missing, report.unexpected);
  text += names_text("unexpected: the file has it and the network does not", report.unexpected, report.missing);
  if (!report.misshaped.empty()) text += fmt::format("\nof another shape ({})\n", report.misshaped.size());
  for (const weights::Misshaped& one : report.misshaped)
    text += fmt::format("  {}  is {}, expected {}\n", data::printable(one.source), to_string(one.came), to_string(one.wanted));
  if (!verdict.flaws.empty()) text += fmt::format("\nvalues that no network can compute with: {}\n", weights::describe(verdict.flaws));
  if (!text.empty() && !verdict.good()) text += "\n";
  return text + fmt::format("{} of {} tensors of {} are in the file: {}\n", report.matched.size(),
                            report.matched.size() + report.missing.size() + report.misshaped.size() + report.fresh.size(),
                            verdict.spec.arch, verdict.good() ? "it fits" : "it does not fit");
}

Json verdict_json(const Verdict& verdict) {
  const weights::Report& report = verdict.report;
  const auto with_similar = [](const std::vector<std::string>& names, const std::vector<std::string>& others) {
    Json all = Json::array();
    for (const std::string& name : names) all.push_back({{"name", name}, {"similar", nearest(name, others)}});
    return all;
  };
  Json misshaped = Json::array(), flaws = Json::array();
  for (const weights::Misshaped& one : report.misshaped)
    misshaped.push_back({{"name", one.source}, {"shape", extents(one.came)}, {"expected", extents(one.wanted)}});
  for (const weights::Flaw& one : verdict.flaws)
    flaws.push_back(
        {{"name", one.name}, {"nan", one.nan}, {"infinite", one.infinite}, {"too_large", one.too_large}, {"negative", one.negative}});
  return {{"architecture", verdict.spec.arch},
          {"fits", verdict.good()},
          {"matched", report.matched.size()},
          {"missing", with_similar(report.missing, report.unexpected)},
          {"unexpected", with_similar(report.unexpected, report.missing)},
          {"misshaped", misshaped},
          {"flaws", flaws},
          {"remarks", report.remarks}};
}

std::string comparison_text(const weights::Comparison& comparison) {
  std::vector<std::string> names;
  size_t equal = 0;
  for (const weights::Difference& one : comparison.both) {
    if (one.same_shape && one.largest == 0)
      ++equal;
    else
      names.push_back(data::printable(one.ours));
  }
  const size_t width = width_of(names);
  std::string text = names.empty() ? "" : fmt::format("{:<{}}  {:>12}  {:>12}\n", "name", width, "largest", "relative");
  for (const weights::Difference& one : comparison.both) {
    if (!one.same_shape)
      text += fmt::format("{:<{}}  of another shape\n", data::printable(one.ours), width);
    else if (one.largest != 0)
      text += fmt::format("{:<{}}  {:>12.6g}  {:>12.6g}\n", data::printable(one.ours), width, one.largest, one.relative);
  }
  text += names_text("only in FILE", comparison.only_a, comparison.only_b);
  text += names_text("only in OTHER", comparison.only_b, comparison.only_a);
  return text + fmt::format("{}{} tensors are equal, {} differ, {} are in one file only\n", text.empty() ? "" : "\n", equal,
                            comparison.both.size() - equal, comparison.only_a.size() + comparison.only_b.size());
}

Json comparison_json(const weights::Comparison& comparison) {
  Json both = Json::array();
  for (const weights::Difference& one : comparison.both)
    both.push_back({{"name", one.ours}, {"same_shape", one.same_shape}, {"largest", one.largest}, {"relative", one.relative}});
  return {{"equal", comparison.equal()}, {"tensors", both}, {"only_in_file", comparison.only_a}, {"only_in_other", comparison.only_b}};
}

}  // namespace mirilla::apps
