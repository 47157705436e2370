// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "weights/state_dict.h"

/// What `mirilla weights` says about files.
namespace mirilla::weights {

/// Of one tensor.
struct Facts {
  std::string name;  // the file's
  std::string ours;  // the model's
  DType dtype = DType::f32;
  Shape shape;
  double norm = 0;     // the root of the sum of the squares of its finite values, in f64
  double largest = 0;  // absolute, of the finite values
  int64_t nan = 0, infinite = 0;
};
std::vector<Facts> facts_of(const StateDict& state);

/// One name in both files.
struct Difference {
  std::string ours;
  bool same_shape = true;
  double largest = 0;   // max |a - b|; infinite where only one side is finite, 0 where both are NaN
  double relative = 0;  // ||a - b|| / ||a||
};
struct Comparison {
  std::vector<Difference> both;             // in A's order
  std::vector<std::string> only_a, only_b;  // the files' names
  bool equal() const;
};
/// Tensors with the same name of ours, whatever the files call them; values as f64.
Comparison compare(const StateDict& a, const StateDict& b);

}  // namespace mirilla::weights
