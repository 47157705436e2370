// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/inspect/trace.h"

namespace mirilla::nn {

/// The difference of two tensors a and b of one shape, computed in double. Elements that are not finite on either side take no part in the
/// sums; they count as equal if both are NaN, or the same infinity.
struct Difference {
  int64_t elements = 0;
  int64_t different = 0;                     // elements that are not equal
  double largest = 0;                        // max |a - b|
  std::vector<int64_t> where = {};           // its index; empty if nothing differs
  double a = 0, b = 0;                       // the two values there
  double relative = 0;                       // ||a - b|| / ||a||; infinite where a is all 0 and b is not
  double relative_largest = 0;               // max |a - b| / max |a|
  int64_t nonfinite_a = 0, nonfinite_b = 0;  // elements that are infinite or NaN
  int64_t nonfinite_apart = 0;               // those of them that differ between the sides

  int64_t one_sided = 0;       // elements that are 0 on one side and not on the other
  double one_sided_share = 0;  // ||a - b|| over only those, / ||a||

  bool equal() const { return different == 0; }
  /// Both relative differences are at most `tolerance`, and values that are not finite are the same.
  bool within(double tolerance) const { return relative <= tolerance && relative_largest <= tolerance && nonfinite_apart == 0; }
};

/// Throws ShapeError where the shapes differ.
Difference compare(const Tensor& a, const Tensor& b);

/// One output of one module, or a parameter, or a buffer, on both sides.
struct DiffRow {
  std::string name, kind;
  size_t call = 0;
  bool container = false;  // other rows are of modules inside it, and its output is that of its last child
  Shape shape_a, shape_b;
  std::optional<Difference> value;     // empty if the shapes differ
  std::optional<Difference> gradient;  // empty if a side has none
  double gates = 0;                    // see gradient_tolerance
};

/// The comparison of two traces.
struct Diff {
  std::vector<DiffRow> modules;  // in the order of execution
  std::vector<DiffRow> parameters, buffers;
  std::optional<Difference> inference;      // of the logits with batch norms folded, if both have them
  std::vector<std::string> only_a, only_b;  // names that the other side lacks
};

/// Matches by name and call, in the order of a (of b if only b is in order of execution). Throws Error if no name occurs on both sides.
Diff diff(const Trace& a, const Trace& b);

/// How far apart a row's gradients may be. A ReLU whose input is almost 0 may be open on one side and closed on the other, and a
/// maximum may come from another place: both sides are right, and all gradients upstream differ by what it passed. Such elements are 0 on
/// only one side. `gates` is the root of the sum of squares of their shares, over all rows that backward visits before this one, if they
/// are few (at most 1 in 20: more cannot be chance); a network amplifies them by up to kGateFactor.
///
///   tolerance + kGateFactor gates
inline constexpr double kGateFactor = 2;
double gradient_tolerance(const DiffRow& row, double tolerance);
/// Whether the gradient is within this tolerance. If gates contribute, only ||a - b|| / ||a|| counts.
bool gradient_within(const DiffRow& row, double tolerance);

/// The first in the order of execution whose value is not within the tolerance, or has another shape; null: none. Containers are skipped,
/// so that the module that computed the value is named.
const DiffRow* first_value_past(const std::vector<DiffRow>& rows, double tolerance);
/// The first, in the order of the backward pass, whose gradient is not within it.
const DiffRow* first_gradient_past(const std::vector<DiffRow>& rows, double tolerance);
/// Whether every row is within the tolerance, and the logits of inference too.
bool within(const Diff& diff, double tolerance);

/// The expected difference of two correct computations, for the coarsest dtype among the activations of both: 1e-10 where all are f64,
/// 1e-5 for f32, 5e-3 for f16, 3e-2 for bf16.
double usual_tolerance(const Trace& a, const Trace& b);

}  // namespace mirilla::nn
