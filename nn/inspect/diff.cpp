// SPDX-License-Identifier: MIT
#include "nn/inspect/diff.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

std::vector<int64_t> index_in(const Shape& shape, int64_t flat) {
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  for (size_t d = index.size(); d-- > 0;) {
    const int64_t extent = shape[static_cast<int>(d)];
    index[d] = flat % extent;
    flat /= extent;
  }
  return index;
}

double ratio(double difference, double size) {
  if (difference == 0) return 0;
  return size > 0 ? difference / size : std::numeric_limits<double>::infinity();
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

const Traced* find(const std::vector<Traced>& all, const Traced& like) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Traced& t) { return t.name == like.name && t.call == like.call; });
  return found == all.end() ? nullptr : &*found;
}

std::string shown_name(const Traced& traced) {
  return traced.call == 0 ? traced.name : fmt::format("{} (call {})", traced.name, traced.call + 1);
}

DiffRow row_of(const Traced& a, const Traced& b) {
  DiffRow row{.name = a.name,
              .kind = a.kind.empty() ? b.kind : a.kind,
              .call = a.call,
              .shape_a = a.value.shape(),
              .shape_b = b.value.shape(),
              .value = std::nullopt,
              .gradient = std::nullopt};
  if (row.shape_a != row.shape_b) return row;
  row.value = compare(a.value, b.value);
  if (a.gradient && b.gradient) row.gradient = compare(a.gradient, b.gradient);
  return row;
}

void mark_containers(std::vector<DiffRow>& rows) {
  for (DiffRow& row : rows)
    row.container = std::any_of(rows.begin(), rows.end(), [&](const DiffRow& other) { return other.name.starts_with(row.name + "."); });
}

// Rows for the entries of both, in the order of a or of b; entries that only one has go to the lists.
std::vector<DiffRow> match(const std::vector<Traced>& a, const std::vector<Traced>& b, bool order_of_b, Diff& result) {
  std::vector<DiffRow> rows;
  const std::vector<Traced>&ordered = order_of_b ? b : a, &others = order_of_b ? a : b;
  for (const Traced& one : ordered)
    if (const Traced* other = find(others, one)) rows.push_back(order_of_b ? row_of(*other, one) : row_of(one, *other));
  for (const Traced& one : a)
    if (!find(b, one)) result.only_a.push_back(shown_name(one));
  for (const Traced& one : b)
    if (!find(a, one)) result.only_b.push_back(shown_name(one));
  return rows;
}

bool value_within(const DiffRow& row, double tolerance) { return row.value && row.value->within(tolerance); }

// Sets `gates` of modules from the last to the first, and of parameters from their modules.
void follow_gates(Diff& diff) {
  constexpr int64_t kRare = 20;
  double squares = 0;
  std::map<std::string, double> at;
  for (auto row = diff.modules.rbegin(); row != diff.modules.rend(); ++row) {
    if (row->gradient && row->gradient->one_sided * kRare <= row->gradient->elements)
      squares += row->gradient->one_sided_share * row->gradient->one_sided_share;
    row->gates = at[row->name] = std::sqrt(squares);
  }
  for (DiffRow& parameter : diff.parameters)
    if (const auto found = at.find(parameter.name.substr(0, parameter.name.rfind('.'))); found != at.end()) parameter.gates = found->second;
}

}  // namespace

Difference compare(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape())
    throw ShapeError(fmt::format("two shapes cannot be compared: {} and {}", to_string(a.shape()), to_string(b.shape())));
  const std::vector<double> x = a.to_doubles(), y = b.to_doubles();
  Difference result{.elements = a.numel()};
  double squares = 0, one_sided_squares = 0, size_squares = 0, size = 0;
  int64_t where = -1;
  for (size_t i = 0; i < x.size(); ++i) {
    const bool finite_a = std::isfinite(x[i]), finite_b = std::isfinite(y[i]), equal = same(x[i], y[i]);
    result.different += !equal;
    result.nonfinite_a += !finite_a;
    result.nonfinite_b += !finite_b;
    if (!finite_a || !finite_b) {
      result.nonfinite_apart += !equal;
      continue;
    }
    const double difference = std::abs(x[i] - y[i]);
    squares += difference * difference;
    if ((x[i] == 0) != (y[i] == 0)) {
      ++result.one_sided;
      one_sided_squares += difference * difference;
    }
    size_squares += x[i] * x[i];
    size = std::max(size, std::abs(x[i]));
    if (difference <= result.largest) continue;
    result.largest = difference;
    where = static_cast<int64_t>(i);
  }
  if (where >= 0) {
    result.where = index_in(a.shape(), where);
    result.a = x[static_cast<size_t>(where)];
    result.b = y[static_cast<size_t>(where)];
  }
  result.relative = ratio(std::sqrt(squares), std::sqrt(size_squares));
  result.one_sided_share = ratio(std::sqrt(one_sided_squares), std::sqrt(size_squares));
  result.relative_largest = ratio(result.largest, size);
  return result;
}

Diff diff(const Trace& a, const Trace& b) {
  Diff result;
  const bool order_of_b = b.ordered && !a.ordered;
  result.modules = match(a.modules, b.modules, order_of_b, result);
  mark_containers(result.modules);
  result.parameters = match(a.parameters, b.parameters, order_of_b, result);
  result.buffers = match(a.buffers, b.buffers, order_of_b, result);
  if (result.modules.empty()) {
    const auto name = [](const std::vector<std::string>& names) { return names.empty() ? "nothing" : "'" + names[0] + "' and so on"; };
    throw Error(fmt::format("no module has the same name on both sides: A has {}, B has {}", name(result.only_a), name(result.only_b)),
                "torchvision's names are expected, layer1.0.conv1, or fastai's, 0.4.0.conv1");
  }
  follow_gates(result);
  if (a.inference && b.inference && a.inference.shape() == b.inference.shape()) result.inference = compare(a.inference, b.inference);
  return result;
}

double gradient_tolerance(const DiffRow& row, double tolerance) { return tolerance + kGateFactor * row.gates; }

bool gradient_within(const DiffRow& row, double tolerance) {
  if (!row.gradient) return true;
  if (row.gates == 0) return row.gradient->within(tolerance);
  return row.gradient->relative <= gradient_tolerance(row, tolerance) && row.gradient->nonfinite_apart == 0;
}

const DiffRow* first_value_past(const std::vector<DiffRow>& rows, double tolerance) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const DiffRow& row) { return !row.container && !value_within(row, tolerance); });
  return found == rows.end() ? nullptr : &*found;
}

const DiffRow* first_gradient_past(const std::vector<DiffRow>& rows, double tolerance) {
  const auto found =
      std::find_if(rows.rbegin(), rows.rend(), [&](const DiffRow& row) { return !row.container && !gradient_within(row, tolerance); });
  return found == rows.rend() ? nullptr : &*found;
}

bool within(const Diff& diff, double tolerance) {
  for (const auto* rows : {&diff.modules, &diff.parameters, &diff.buffers})
    if (first_value_past(*rows, tolerance) || first_gradient_past(*rows, tolerance)) return false;
  return !diff.inference || diff.inference->within(tolerance);
}

double usual_tolerance(const Trace& a, const Trace& b) {
  const auto of = [](DType dtype) { return dtype == DType::bf16 ? 3e-2 : dtype == DType::f16 ? 5e-3 : dtype == DType::f64 ? 1e-10 : 1e-5; };
  double widest = 0;
  for (const Trace* trace : {&a, &b})
    for (const Traced& traced : trace->modules) widest = std::max(widest, of(traced.value.dtype()));
  return widest;
}

}  // namespace mirilla::nn
