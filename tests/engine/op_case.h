// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
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
  without_ties,  // all different, as a maximum wants
};

/// How far f32 may lie from f64.
enum class Within {
  rounding,  // not at all: the f64 result, rounded once
  terms,     // tolerance times the sum of the absolute terms; for operators that are linear in each input and in dy
  largest,   // tolerance times the largest element of the result
};

/// One operator, and everything its tests need to know. Each case runs forward on every device against the reference in double, backward by
/// central differences and on every device, overwrite and accumulate, with each subset of gradients wanted, and with what it saved
/// overwritten.
struct OpCase {
  std::string name;
  std::vector<std::vector<Shape>> inputs;  // one list of shapes a run
  std::function<Tensor(std::span<const Tensor>)> run;
  Draw draw = Draw::anywhere;
  Within within = Within::terms;
  double tolerance = 1e-6;
  std::vector<size_t> saves = {};  // the inputs that backward reads
  bool saves_output = false;       // whether it reads y
  bool leaves_mask = false;        // where a device has Fused::relu_mask it reads that, and not y
  bool recorded = true;            // whether it has a backward at all
  bool selects = false;            // forward only picks elements, so that it is exact whatever `within` says of the gradients
  bool watches = false;            // asks for an observation point, and so is recorded even where nothing wants a gradient
  bool composed = false;           // several nodes may send their gradients to one input, which then are added in any order
};

/// Every operator's cases. A benchmark can time the same list.
const std::vector<OpCase>& op_cases();

/// The same numbers on any device and in any dtype: constants that an operator wants beside its inputs. Evenly in low .. high.
Tensor constant_like(const Tensor& like, const Shape& shape, double low, double high, uint32_t item);

/// Values for one run of a case, each representable in f32.
using Values = std::vector<std::vector<double>>;
Values draw_inputs(const OpCase& op, const std::vector<Shape>& shapes);
std::vector<double> draw(int64_t count, double low, double high, uint32_t item);

/// Host values as a tensor of f32 or f64.
Tensor tensor_of(const std::vector<double>& values, const Shape& shape, DType dtype, Device& device);
std::vector<Tensor> tensors_of(const Values& values, const std::vector<Shape>& shapes, DType dtype, Device& device);

/// What came out of one run forward and back.
struct Outcome {
  std::vector<double> y;
  std::vector<std::optional<std::vector<double>>> gradients;  // one an input; none where there is none
};

/// Runs forward, then backward from `seed` if it is given; wants the gradient of those inputs that `wanted` names (none given: all).
Outcome execute(const OpCase& op, const std::vector<Shape>& shapes, const Values& values, const std::vector<double>& seed, DType dtype,
                Device& device, const std::optional<std::vector<bool>>& wanted = {});

/// All devices' fresh memory is NaN while this lives: what a kernel forgets to write, or adds to instead of overwriting, shows.
class Poison {
 public:
  Poison();
  ~Poison();
  Poison(const Poison&) = delete;
  Poison& operator=(const Poison&) = delete;
};

}  // namespace mirilla
