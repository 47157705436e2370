// SPDX-License-Identifier: MIT
#include "nn/inspect/summary.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "apps/command.h"

namespace mirilla::apps {

namespace {

struct SummaryOptions {
  CommonOptions common;
  ModelOptions model;
};

std::string grouped(int64_t n) {  // 11689512 -> 11,689,512
  std::string digits = std::to_string(n);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string to_text(const std::vector<nn::ModuleSummary>& rows, const nn::LoadedModel& loaded) {
  size_t width = 6;
  for (const nn::ModuleSummary& row : rows) width = std::max(width, row.name.size());
  std::string text = fmt::format("{:<{}}  {:<20}  {:<16}  {:>12}  {:>15}  {:>12}\n", "module", width, "kind", "output", "parameters",
                                 "multiply-adds", "activation");
  for (size_t i = 1; i < rows.size(); ++i) {
    const nn::ModuleSummary& row = rows[i];
    text += fmt::format("{:<{}}  {:<20}  {:<16}  {:>12}  {:>15}  {:>8.1f} KiB\n", row.name, width, row.kind, to_string(row.output),
                        grouped(row.parameters), grouped(row.multiply_adds), static_cast<double>(row.activation_bytes) / 1024);
  }
  const nn::ModuleSummary& all = rows[0];
  return text + fmt::format("{}: {} parameters, {} multiply-adds and {:.1f} MiB of activations per picture of {} px; classes: {}\n",
                            loaded.model->spec().arch, grouped(all.parameters), grouped(all.multiply_adds),
                            static_cast<double>(all.activation_bytes) / (1 << 20), loaded.info.size,
                            fmt::join(loaded.info.vocabulary, ", "));
}

nlohmann::ordered_json to_json(const std::vector<nn::ModuleSummary>& rows, const nn::LoadedModel& loaded) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const nn::ModuleSummary& row : rows)
    modules.push_back({{"name", row.name},
                       {"kind", row.kind},
                       {"output", std::vector<int64_t>(row.output.begin(), row.output.end())},
                       {"parameters", row.parameters},
                       {"multiply_adds", row.multiply_adds},
                       {"activation_bytes", row.activation_bytes}});
  return {{"architecture", loaded.model->spec().arch},
          {"vocab", loaded.info.vocabulary},
          {"resize", loaded.info.resize},
          {"size", loaded.info.size},
          {"modules", modules}};
}

void run(const SummaryOptions& options) {
  const nn::LoadedModel loaded = load(options.model, open(options.common));
  const std::vector<nn::ModuleSummary> rows = nn::summarise(*loaded.model, loaded.info.size);
  options.common.json ? print_json(to_json(rows, loaded)) : print(to_text(rows, loaded));
}

}  // namespace

void add_summary(CLI::App& app) {
  auto options = std::make_shared<SummaryOptions>();
  CLI::App* command = app.add_subcommand("summary", "list a model's modules: output shapes, parameters, multiply-adds, activation memory");
  add_model(*command, options->model);
  add_common(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace mirilla::apps
