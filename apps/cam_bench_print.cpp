// SPDX-License-Identifier: MIT
#include "apps/cam_bench_print.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace mirilla::apps {

namespace {

using nn::BenchRow;
using nn::MeasureColumn;

const nn::BenchValue* value_of(const BenchRow& row, const MeasureColumn& column) {
  const auto found = row.values.find(column.name);
  return found == row.values.end() ? nullptr : &found->second;
}

std::string cell(const BenchRow& row, const MeasureColumn& column) {
  const nn::BenchValue* value = value_of(row, column);
  if (!value) return "-";
  return column.percent ? fmt::format("{:.1f}", 100 * value->value) : fmt::format("{:.3f}", value->value);
}

// The table as rows of cells: its head, then one row per method.
std::vector<std::vector<std::string>> cells_of(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows{{"method"}};
  for (const MeasureColumn& column : report.bench.columns)
    if (!column.detail)
      rows[0].push_back(fmt::format("{} {}", column.name + (column.percent ? " %" : ""), column.more_is_better ? "+" : "-"));
  rows[0].emplace_back("ms");
  for (const BenchRow& row : report.bench.rows) {
    std::vector<std::string> line{row.method};
    for (const MeasureColumn& column : report.bench.columns)
      if (!column.detail) line.push_back(cell(row, column));
    line.push_back(row.baseline ? "-" : fmt::format("{:.0f}", 1000 * row.seconds));
    rows.push_back(std::move(line));
  }
  return rows;
}

std::vector<std::string> survivors(const BenchReport& report) {
  std::vector<std::string> names;
  for (const BenchRow& row : report.bench.rows)
    if (row.survives && !row.baseline) names.push_back(row.method);
  return names;
}

bool has(const BenchReport& report, std::string_view measure) {
  return std::any_of(report.bench.columns.begin(), report.bench.columns.end(),
                     [&](const MeasureColumn& c) { return c.measure == measure; });
}

// Remarks on the numbers.
std::vector<std::string> notes_of(const BenchReport& report) {
  const nn::CamBench& bench = report.bench;
  std::vector<std::string> notes{fmt::format(
      "{} of {} pictures were classified correctly and are measured, {} with a mask; maps at {}. +: higher is better, -: lower is",
      bench.pictures, report.evaluation.n, bench.with_mask, report.options.layer)};
  if (has(report, "sensitivity") || has(report, "randomisation"))
    notes.push_back(fmt::format("sensitivity and randomisation: measured on {} of them", bench.explained_again));
  for (const BenchRow& row : bench.rows)
    if (row.empty > 0)
      notes.push_back(fmt::format("{}: the map of {} pictures is 0 everywhere: it finds no evidence for the class", row.method, row.empty));
  if (!has(report, "randomisation")) return notes;
  const std::vector<std::string> names = survivors(report);
  notes.push_back(names.empty()
                      ? fmt::format("no method's maps stay similar with random weights (a rank correlation of {} or more)", nn::kSurvives)
                      : fmt::format("these maps stay similar with random weights: {} (a rank correlation of {} or more). They depend "
                                    "little on the trained weights, "
                                    "so do not read them as the model's reasons",
                                    fmt::join(names, ", "), nn::kSurvives));
  return notes;
}

}  // namespace

std::string to_text(const BenchReport& report) {
  const auto rows = cells_of(report);
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (r > 0 && report.bench.rows[r - 1].baseline && (r == 1 || !report.bench.rows[r - 2].baseline)) text += '\n';
    text += fmt::format("{:<{}}", rows[r][0], widths[0]);
    for (size_t c = 1; c < rows[r].size(); ++c) text += fmt::format("  {:>{}}", rows[r][c], widths[c]);
    text += '\n';
  }
  return text + fmt::format("\n{}\n", fmt::join(notes_of(report), "\n"));
}

std::string to_markdown(const BenchReport& report) {
  const auto rows = cells_of(report);
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    text += fmt::format("| {} |\n", fmt::join(rows[r], " | "));
    if (r > 0) continue;
    text += "|---|";
    for (size_t c = 1; c < rows[0].size(); ++c) text += "---:|";
    text += '\n';
  }
  return text + fmt::format("\n{}.\n", fmt::join(notes_of(report), ".\n"));
}

std::string to_csv(const BenchReport& report) {
  std::string text = "method,baseline";
  for (const MeasureColumn& column : report.bench.columns) text += "," + column.name;
  text += ",seconds,empty,survives\n";
  for (const BenchRow& row : report.bench.rows) {
    text += fmt::format("{},{}", row.method, row.baseline ? 1 : 0);
    for (const MeasureColumn& column : report.bench.columns) {
      const nn::BenchValue* value = value_of(row, column);
      text += value ? fmt::format(",{}", value->value) : ",";
    }
    text += fmt::format(",{},{},{}\n", row.seconds, row.empty, row.survives ? 1 : 0);
  }
  return text;
}

nlohmann::ordered_json to_json(const BenchReport& report) {
  const nn::CamBench& bench = report.bench;
  nlohmann::ordered_json columns = nlohmann::ordered_json::array(), rows = nlohmann::ordered_json::array();
  for (const MeasureColumn& column : bench.columns)
    columns.push_back({{"name", column.name}, {"measure", column.measure}, {"more_is_better", column.more_is_better}});
  for (const BenchRow& row : bench.rows) {
    nlohmann::ordered_json values = nlohmann::ordered_json::object();
    for (const MeasureColumn& column : bench.columns)
      if (const nn::BenchValue* value = value_of(row, column)) values[column.name] = {{"mean", value->value}, {"n", value->n}};
    rows.push_back(
        {{"method", row.method}, {"baseline", row.baseline}, {"values", values}, {"seconds", row.seconds}, {"empty", row.empty}});
    if (has(report, "randomisation")) rows.back()["survives_random_weights"] = row.survives;
  }
  return {{"pictures", bench.pictures},
          {"evaluated", report.evaluation.n},
          {"with_mask", bench.with_mask},
          {"explained_again", bench.explained_again},
          {"layer", report.options.layer},
          {"seed", report.options.seed},
          {"columns", columns},
          {"rows", rows},
          {"notes", notes_of(report)}};
}

}  // namespace mirilla::apps
