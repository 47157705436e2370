// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/inspect/trace.h"

namespace mirilla::nn {

/// How far b lies from a, two tensors of one shape, computed in double. Elements that are not finite on either side take no part in the
/// sums; they count as equal where both are NaN, or the same infinity.
struct Difference {
  int64_t elements = 0;
  int64_t different = 0;                     // elements that are not equal
  double largest = 0;                        // max |a - b|
  std::vector<int64_t> where = {};           // its index; empty where nothing differs
  double a = 0, b = 0;                       // the two values there
  double relative = 0;                       // ||a - b|| / ||a||; infinite where a is all 0 and b is not
  double relative_largest = 0;               // max |a - b| / max |a|
  int64_t nonfinite_a = 0, nonfinite_b = 0;  // elements that are infinite or NaN
  int64_t nonfinite_apart = 0;               // those of them that are not the same on both sides

  int64_t one_sided = 0;       // that are 0 on one side and not on the other
  double one_sided_share = 0;  // ||a - b|| over those alone, / ||a||

  bool equal() const { return different == 0; }
  /// Both relative differences are at most `tolerance`, and what is not finite is the same.
  bool within(double tolerance) const { return relative <= tolerance && relative_largest <= tolerance && nonfinite_apart == 0; }
};

/// Throws ShapeError where the shapes differ.
Difference compare(const Tensor& a, const Tensor& b);

/// One output of one module, or a parameter, or a buffer, on both sides.
struct DiffRow {
  std::string name, kind;
  size_t call = 0;
  bool container = false;  // other rows are of modules in it: its output is its last child's
  Shape shape_a, shape_b;
  std::optional<Difference> value;     // none where the shapes differ
  std::optional<Difference> gradient;  // none where a side has none
  double gates = 0;                    // see gradient_tolerance
};

/// What two traces have in common, and where they part.
struct Diff {
  std::vector<DiffRow> modules;  // in the order of execution
  std::vector<DiffRow> parameters, buffers;
  std::optional<Difference> inference;      // of the logits with batch norms folded, where both have them
  std::vector<std::string> only_a, only_b;  // names that the other side lacks
};

/// Matches by name and call, in the order of a (of b where only b's is that of execution). Throws Error where no name is on both sides.
Diff diff(const Trace& a, const Trace& b);

/// How far apart a row's gradients may be. A ReLU whose input is as good as 0 may be open on one side and closed on the other, and a
/// maximum may come from another place: both sides are right, and all gradients behind it part by what it sent back. Such elements are 0 on
/// one side alone. `gates` is the root of the sum of squares of their shares, over all rows on the way back to this one where they are few
/// (at most 1 in 20: more is no accident); a network amplifies them on the way by up to kGateFactor.
///
///   tolerance + kGateFactor gates
inline constexpr double kGateFactor = 2;
double gradient_tolerance(const DiffRow& row, double tolerance);
/// Whether the gradient is within that. Where gates had a part, only ||a - b|| / ||a|| counts.
bool gradient_within(const DiffRow& row, double tolerance);

/// The first in the order of execution whose value is not within the tolerance, or has another shape; none: all are. Containers are passed
/// over: the module that computed it is named.
const DiffRow* first_value_past(const std::vector<DiffRow>& rows, double tolerance);
/// The first in the order of the way back whose gradient is not.
const DiffRow* first_gradient_past(const std::vector<DiffRow>& rows, double tolerance);
/// Whether every row of it is within the tolerance, and the inference's logits.
bool within(const Diff& diff, double tolerance);

/// What two right ways of computing the same may differ by, for the coarsest dtype among the activations of both: 1e-10 where all are f64,
/// 1e-5 for f32, 5e-3 for f16, 3e-2 for bf16.
double usual_tolerance(const Trace& a, const Trace& b);

}  // namespace mirilla::nn
