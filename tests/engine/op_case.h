// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace mirilla {

/// What an operator's random inputs must avoid, since central differences mean nothing there.
enum class Draw {
  anywhere,      // evenly in -2 .. 2
  off_zero,      // at least 0.01 from the kink of a ReLU
  without_ties,  // all different, as a maximum needs
};

/// How far f32 results may be from f64.
enum class Within {
  rounding,  // exact: the f64 result, rounded once
  terms,     // tolerance times the sum of the absolute terms; for operators that are linear in each input and in dy
  largest,   // tolerance times the largest element of the result
};

/// One operator, and everything its tests need to know. Each case runs forward on every device against the reference in double, backward by
/// central differences and on every device, overwrite and accumulate, with each subset of gradients wanted, and with what it saved
/// overwritten.
struct OpCase {
  std::string name;
  std::vector<std::vector<Shape>> inputs;  // one list of shapes per run
  std::function<Tensor(std::span<const Tensor>)> run;
  Draw draw = Draw::anywhere;
  Within within = Within::terms;
  double tolerance = 1e-6;
  std::vector<size_t> saves = {};  // the inputs that backward reads
  bool saves_output = false;       // whether it reads y
  bool leaves_mask = false;        // on a device with op::ReluMask it reads the mask, and not y
  bool recorded = true;            // whether it has a backward pass
  bool selects = false;            // forward only picks elements, so it is exact whatever `within` says about the gradients
  bool watches = false;            // is watched, and so recorded even where no gradient is wanted
  bool composed = false;           // several nodes may send gradients to one input, which are added in any order
};

/// Every operator's cases, those of MoreOpCases included. bench/bench_ops.cpp times the same list.
const std::vector<OpCase>& op_cases();

/// Adds the cases of a test file of its own: `const MoreOpCases kMore{{.name = "LeakyRelu", ...}};` at namespace scope.
class MoreOpCases {
 public:
  MoreOpCases(std::initializer_list<OpCase> cases);
};

/// The same numbers on any device and in any dtype: constants that an operator needs beside its inputs, evenly in low .. high.
Tensor constant_like(const Tensor& like, const Shape& shape, double low, double high, uint32_t item);

/// Values for one run of a case, each representable in f32.
using Values = std::vector<std::vector<double>>;
Values draw_inputs(const OpCase& op, const std::vector<Shape>& shapes);
std::vector<double> draw(int64_t count, double low, double high, uint32_t item);

/// Host values as a tensor of f32 or f64.
Tensor tensor_of(const std::vector<double>& values, const Shape& shape, DType dtype, Device& device);
std::vector<Tensor> tensors_of(const Values& values, const std::vector<Shape>& shapes, DType dtype, Device& device);

/// The results of one run forward and backward.
struct Outcome {
  std::vector<double> y;
  std::vector<std::optional<std::vector<double>>> gradients;  // one per input; empty where there is none
};

/// Runs forward, then backward from `seed` if it is given; requests the gradients of the inputs in `wanted` (empty: all).
Outcome execute(const OpCase& op, const std::vector<Shape>& shapes, const Values& values, const std::vector<double>& seed, DType dtype,
                Device& device, const std::optional<std::vector<bool>>& wanted = {});

/// While this lives, fresh memory of all devices is NaN, so that elements that a kernel does not write, or only adds to, are found.
class Poison {
 public:
  Poison();
  ~Poison();
  Poison(const Poison&) = delete;
  Poison& operator=(const Poison&) = delete;
};

}  // namespace mirilla
