// SPDX-License-Identifier: MIT
#include "apps/diff_print.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "data/write/csv.h"

namespace mirilla::apps {

namespace {

using nn::Difference;
using nn::DiffRow;
using Json = nlohmann::ordered_json;

constexpr size_t kMostNames = 6;  // of modules that one side lacks

std::string name_of(const DiffRow& row) { return row.call == 0 ? row.name : fmt::format("{} (call {})", row.name, row.call + 1); }

std::string number(double value) { return value == 0 ? "0" : fmt::format("{:.1e}", value); }

std::string shape_of(const DiffRow& row) {
  return row.shape_a == row.shape_b ? to_string(row.shape_a) : fmt::format("{} {}", to_string(row.shape_a), to_string(row.shape_b));
}

// The two numbers of a difference and a mark: a star where it is past the tolerance.
std::array<std::string, 2> cells(const std::optional<Difference>& difference, std::string_view mark) {
  if (!difference) return {"-", "- "};
  return {number(difference->largest), fmt::format("{}{}", number(difference->relative), mark)};
}

std::string_view mark_of_value(const DiffRow& row, double tolerance) { return !row.value || row.value->within(tolerance) ? " " : "*"; }

// A tilde if it is past the tolerance but within that of the gates.
std::string_view mark_of_gradient(const DiffRow& row, double tolerance) {
  if (!row.gradient || row.gradient->within(tolerance)) return " ";
  return nn::gradient_within(row, tolerance) ? "~" : "*";
}

std::string not_finite(std::string_view what, const std::optional<Difference>& difference) {
  if (!difference || difference->nonfinite_a + difference->nonfinite_b == 0) return {};
  return fmt::format("  {} not finite: {} in A, {} in B", what, difference->nonfinite_a, difference->nonfinite_b);
}

// The text left of the numbers: as wide as the rows need, with the kind only if a row has one.
struct Columns {
  size_t name, kind = 0, shape = 5;

  Columns(const std::vector<const DiffRow*>& rows, std::string_view first) : name(first.size()) {
    for (const DiffRow* row : rows) {
      name = std::max(name, name_of(*row).size());
      kind = std::max(kind, row->kind.size());
      shape = std::max(shape, shape_of(*row).size());
    }
  }
  std::string operator()(std::string_view name_, std::string_view kind_, std::string_view shape_) const {
    std::string text = fmt::format("{:<{}}  ", name_, name);
    if (kind > 0) text += fmt::format("{:<{}}  ", kind_, kind);
    return text + fmt::format("{:<{}}  ", shape_, shape);
  }
};

std::string trimmed(const std::string& line) { return line.substr(0, line.find_last_not_of(' ') + 1) + '\n'; }

// Rows under one head.
std::string table(const std::vector<DiffRow>& rows, const DiffReport& report, std::string_view first, std::string_view what) {
  const DiffRow* value = nn::first_value_past(rows, report.tolerance);
  const DiffRow* gradient = nn::first_gradient_past(rows, report.tolerance);
  const bool gradients = std::any_of(rows.begin(), rows.end(), [](const DiffRow& row) { return row.gradient.has_value(); });
  std::vector<const DiffRow*> shown;
  for (const DiffRow& row : rows)
    if (report.all || !row.container || row.kind != "Sequential") shown.push_back(&row);
  const Columns columns(shown, first);
  std::string text = trimmed(fmt::format("{}{:^19}  {:^19}", columns("", "", ""), what, gradients ? "gradient" : ""));
  text += trimmed(fmt::format("{} largest  relative{}", columns(first, "kind", "shape"), gradients ? "    largest  relative" : ""));
  for (const DiffRow* row : shown) {
    const auto v = cells(row->value, mark_of_value(*row, report.tolerance));
    const auto g = cells(row->gradient, mark_of_gradient(*row, report.tolerance));
    std::string line = fmt::format("{}{:>8}  {:>9}", columns(name_of(*row), row->kind, shape_of(*row)), v[0], v[1]);
    if (gradients) line += fmt::format("  {:>8}  {:>9}", g[0], g[1]);
    line += not_finite(what, row->value) + not_finite("gradient", row->gradient);
    if (row == value) line += fmt::format("  <- first above {:g}", report.tolerance);
    if (row == gradient) line += fmt::format("  <- first gradient above {:g}, in the backward pass", report.tolerance);
    text += trimmed(line);
  }
  return text;
}

std::string place(const Difference& difference) {
  if (difference.nonfinite_apart > 0)
    return fmt::format(", not finite: {} in A, {} in B of {}", difference.nonfinite_a, difference.nonfinite_b, difference.elements);
  if (difference.where.empty()) return {};
  return fmt::format(", largest {} at ({}): A {:.6g}, B {:.6g}", number(difference.largest), fmt::join(difference.where, ","), difference.a,
                     difference.b);
}

// One sentence about a column: that it is equal, how far apart it is, or where it first differs.
template <class Rows, class Get>
std::string verdict(std::string_view what, const Rows& rows, const DiffRow* first, double tolerance, Get&& get) {
  const DiffRow* furthest = nullptr;
  double largest = 0, before = 0;
  for (const DiffRow& row : rows) {
    const std::optional<Difference>& difference = get(row);
    if (!difference || row.container) continue;
    if (!furthest || difference->relative > largest) furthest = &row;
    largest = std::max(largest, difference->relative);
  }
  if (!furthest) return {};
  if (!first) {
    if (largest == 0) return fmt::format("{}: equal\n", what);
    const bool plain = std::all_of(rows.begin(), rows.end(), [&](const DiffRow& row) { return !get(row) || get(row)->within(tolerance); });
    return fmt::format("{}: within {:g}{}; the largest difference is at {}, relative {}{}\n", what, tolerance,
                       plain ? "" : ", except where ReLU or pooling chose differently in A and B (~)", name_of(*furthest), number(largest),
                       place(*get(*furthest)));
  }
  const std::optional<Difference>& at = get(*first);
  if (!at)
    return fmt::format("{}: first differ at {}, which has the shape {} in A and {} in B\n", what, name_of(*first),
                       to_string(first->shape_a), to_string(first->shape_b));
  bool seen = false;
  for (const DiffRow& row : rows) {
    if (&row == first) break;
    if (row.container || !get(row)) continue;
    before = std::max(before, get(row)->relative);
    seen = true;
  }
  const std::string until = !seen         ? ""
                            : before == 0 ? "; everything before it is equal"
                                          : fmt::format("; everything before it is within {}", number(before));
  return fmt::format("{}: first differ at {}, relative {}{}{}\n", what, name_of(*first), number(at->relative), place(*at), until);
}

std::string verdicts(std::string_view values, std::string_view gradients, const std::vector<DiffRow>& rows, double tolerance) {
  const std::vector<DiffRow> backward(rows.rbegin(), rows.rend());
  const auto past = std::find_if(backward.begin(), backward.end(),
                                 [&](const DiffRow& row) { return !row.container && !nn::gradient_within(row, tolerance); });
  return verdict(
             values, rows, nn::first_value_past(rows, tolerance), tolerance, [](const DiffRow& row) -> auto& { return row.value; }) +
         verdict(
             gradients, backward, past == backward.end() ? nullptr : &*past, tolerance,
             [](const DiffRow& row) -> auto& { return row.gradient; });
}

// The first module in the order of execution with an activation that is not finite; "" if there is none.
std::string first_not_finite(const std::vector<DiffRow>& rows, int64_t Difference::*count) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const DiffRow& row) { return !row.container && row.value && (*row.value).*count > 0; });
  return found == rows.end() ? std::string() : name_of(*found);
}

// Two sides can also agree because both are broken.
std::string not_finite_line(const std::vector<DiffRow>& rows) {
  std::string text;
  for (const auto& [side, count] : {std::pair{'A', &Difference::nonfinite_a}, std::pair{'B', &Difference::nonfinite_b}})
    if (const std::string name = first_not_finite(rows, count); !name.empty())
      text += fmt::format("{}{} from {} on", text.empty() ? "not finite: " : ", ", side, name);
  return text.empty() ? text : text + "; values that are NaN, or the same infinity, on both sides count as equal\n";
}

std::string missing(std::string_view side, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  const size_t shown = std::min(names.size(), kMostNames);
  return fmt::format("only in {}: {}{}\n", side, fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     names.size() > shown ? fmt::format(", and {} more", names.size() - shown) : "");
}

// JSON has no infinity and no NaN.
Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }

Json json_of(const std::optional<Difference>& difference) {
  if (!difference) return nullptr;
  return {{"largest", json_number(difference->largest)},
          {"at", difference->where},
          {"a", difference->a},
          {"b", difference->b},
          {"relative", json_number(difference->relative)},
          {"relative_largest", json_number(difference->relative_largest)},
          {"elements", difference->elements},
          {"different", difference->different},
          {"nonfinite_a", difference->nonfinite_a},
          {"nonfinite_b", difference->nonfinite_b},
          {"nonfinite_apart", difference->nonfinite_apart},
          {"one_sided", difference->one_sided}};
}

Json json_of(const std::vector<DiffRow>& rows, std::string_view value) {
  Json all = Json::array();
  for (const DiffRow& row : rows)
    all.push_back({{"name", row.name},
                   {"call", row.call},
                   {"kind", row.kind},
                   {"shape", std::vector<int64_t>(row.shape_a.begin(), row.shape_a.end())},
                   {"shape_b", std::vector<int64_t>(row.shape_b.begin(), row.shape_b.end())},
                   {value, json_of(row.value)},
                   {"gradient", json_of(row.gradient)},
                   {"gates", row.gates}});
  return all;
}

Json first_of(const DiffRow* row) { return row ? Json{{"name", row->name}, {"call", row->call}} : Json(nullptr); }

std::string csv_cells(const std::optional<Difference>& d) {
  if (!d) return ",,,,,,";
  return fmt::format("{},{},{},{},{},{},{}", d->largest, data::csv_field(fmt::format("{}", fmt::join(d->where, " "))), d->relative,
                     d->relative_largest, d->different, d->nonfinite_a, d->nonfinite_b);
}

}  // namespace

std::string to_text(const DiffReport& report) {
  const nn::Diff& diff = report.diff;
  std::string text = fmt::format("{}\n\n", fmt::join(report.head, "\n"));
  text += table(diff.modules, report, "module", "activation") + '\n';
  if (!diff.parameters.empty()) text += table(diff.parameters, report, "parameter", "value") + '\n';
  if (!diff.buffers.empty()) text += table(diff.buffers, report, "buffer", "value") + '\n';
  text += verdicts("activations", "gradients", diff.modules, report.tolerance);
  text += verdicts("parameters", "parameters' gradients", diff.parameters, report.tolerance);
  text += verdicts("buffers", "", diff.buffers, report.tolerance);
  if (diff.inference)
    text += fmt::format("inference (unwatched, batch norms folded): logits {} {:g}, relative {}{}\n",
                        diff.inference->within(report.tolerance) ? "within" : "above", report.tolerance, number(diff.inference->relative),
                        place(*diff.inference));
  return text + not_finite_line(diff.modules) + missing("A", diff.only_a) + missing("B", diff.only_b);
}

std::string to_csv(const DiffReport& report) {
  constexpr std::string_view kColumns[] = {"largest", "at", "relative", "relative_largest", "different", "nonfinite_a", "nonfinite_b"};
  std::string text = "part,name,call,kind,shape";
  for (const char* column : {"value", "gradient"})
    for (const std::string_view name : kColumns) text += fmt::format(",{}_{}", column, name);
  text += '\n';
  const auto add = [&](std::string_view part, const std::vector<DiffRow>& rows) {
    for (const DiffRow& row : rows)
      text += fmt::format("{},{},{},{},{},{},{}\n", part, data::csv_field(row.name), row.call, data::csv_field(row.kind),
                          data::csv_field(shape_of(row)), csv_cells(row.value), csv_cells(row.gradient));
  };
  add("module", report.diff.modules);
  add("parameter", report.diff.parameters);
  add("buffer", report.diff.buffers);
  return text;
}

nlohmann::ordered_json to_json(const DiffReport& report) {
  const nn::Diff& diff = report.diff;
  Json document = report.context;
  document["tolerance"] = report.tolerance;
  document["within"] = nn::within(diff, report.tolerance);
  document["first_activation"] = first_of(nn::first_value_past(diff.modules, report.tolerance));
  document["first_gradient"] = first_of(nn::first_gradient_past(diff.modules, report.tolerance));
  document["modules"] = json_of(diff.modules, "activation");
  document["parameters"] = json_of(diff.parameters, "value");
  document["buffers"] = json_of(diff.buffers, "value");
  document["inference"] = json_of(diff.inference);
  document["only_a"] = diff.only_a;
  document["only_b"] = diff.only_b;
  const std::string a = first_not_finite(diff.modules, &Difference::nonfinite_a),
                    b = first_not_finite(diff.modules, &Difference::nonfinite_b);
  if (!a.empty() || !b.empty()) document["not_finite"] = {{"a", a.empty() ? Json() : Json(a)}, {"b", b.empty() ? Json() : Json(b)}};
  return document;
}

}  // namespace mirilla::apps
