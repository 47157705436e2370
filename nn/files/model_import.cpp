// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/core/error.h"
#include "nn/files/model_file.h"
#include "nn/files/model_tensors.h"
#include "weights/read.h"

namespace mirilla::nn {

namespace {

bool in_head(std::string_view name) { return name.starts_with("head.") || name.starts_with("fc."); }

// A line about flawed tensors of a head that is not used, which are no reason to refuse the body; "" if they have no flaw.
std::string flaws_left_out(const weights::Report& report, const weights::StateDict& state) {
  weights::Report left{.matched = report.matched};
  std::erase_if(left.matched, [](const weights::Matched& matched) { return !in_head(matched.name); });
  for (const std::string& source : report.left_out) left.matched.push_back({source, source});
  const std::vector<weights::Flaw> flaws = weights::flaws_of(left, state);
  return flaws.empty() ? std::string() : fmt::format("what is left out is damaged: {}", weights::describe(flaws));
}

}  // namespace

void load_weights(Module& model, const std::filesystem::path& path) {
  const weights::StateDict state = weights::read_weights(path);
  const weights::Report report = weights::match(wanted_by(model), state);
  weights::require_fit(report, path.string());
  check_values(report, state, model, path.string(), {});
  assign(model, report, state);
}

weights::Report import_body(Module& model, const std::filesystem::path& path, const ImportOptions& options) {
  static constexpr std::string_view kHeads[] = {"head.", "fc."};
  const weights::StateDict state = weights::read_weights(path);
  weights::Report report = weights::match(wanted_by(model), state);
  report.remarks.insert(report.remarks.begin(), state.notes.begin(), state.notes.end());
  // The head keeps its own values, so that its shapes in the file do not matter.
  const std::string head = flaws_left_out(report, state);
  const size_t matched = report.matched.size();
  std::erase_if(report.misshaped, [](const weights::Misshaped& m) { return in_head(m.name); });
  std::erase_if(report.matched, [](const weights::Matched& m) { return in_head(m.name); });
  weights::require_fit(report, path.string(), kHeads);
  if (report.matched.size() < matched) report.remarks.emplace_back("the file's head is left out: training begins with a new one");
  std::erase_if(report.missing, in_head);
  std::erase_if(report.unexpected, in_head);
  if (!head.empty()) report.remarks.push_back(head);
  check_values(report, state, model, path.string(), options);
  assign(model, report, state);
  return report;
}

weights::Report load_head(Module& model, const std::filesystem::path& path, const ImportOptions& options) {
  const weights::StateDict state = weights::read_weights(path);
  weights::Report report = weights::match(wanted_by(model, in_head), state);
  std::erase_if(report.unexpected, [](const std::string& name) { return !in_head(name); });
  weights::require_fit(report, path.string());
  check_values(report, state, model, path.string(), options);
  assign(model, report, state);
  return report;
}

}  // namespace mirilla::nn
