// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <utility>

#include "engine/tensor.h"

/// Mixed precision: which operators compute in half while a scope is open. Weights stay f32 where they train; an operator that wants halves
/// reads a half copy of them and writes their gradient in f32.
namespace mirilla::amp {

/// What an operator does with its inputs under a scope.
enum class Policy {
  half,         // computes in the scope's half
  f32,          // computes, or at least sums and answers, in f32
  widest,       // several inputs are brought to the widest dtype among them
  as_it_comes,  // computes in the dtype its input has
};

/// The table, after the lists of PyTorch's autocast for CUDA ("CUDA Ops that can autocast to float16", "... to float32", "... promote to
/// the widest input type").                                                       [docs.pytorch.org/docs/stable/amp.html, autocast op
/// reference]
///
///   half          conv2d, conv2d_bias_add_relu, linear
///   f32           softmax, sum, mean (PyTorch leaves mean as it comes; ours is a sum and must not overflow either)
///   widest        add, concat (in PyTorch add needs no list: it promotes everywhere)
///   as it comes   everything else: batch_norm, relu, pools, dropout, flatten; cross_entropy, which reads halves and answers in f32 anyway
Policy policy_of(std::string_view op);

/// While it lives, this thread's operators follow the table. f16 and bf16 open it, f32 closes it (for what stands inside another scope).
/// Scopes nest. Backward needs none: it follows what forward did. Throws Error for another dtype.
class Autocast {
 public:
  explicit Autocast(DType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType before_;
};

/// The half of the scope that is open; f32 where none is.
DType autocast_dtype();

/// What `op` reads for its input x: x itself, or a recorded cast of it. f64 is never cast.
Tensor input(std::string_view op, const Tensor& x);
/// The same for two inputs of an operator that wants the widest.
std::pair<Tensor, Tensor> inputs(std::string_view op, const Tensor& a, const Tensor& b);
/// What `op` reads for its weights w: w itself, or half_copy of it. Not recorded: the operator gives w's own gradient, like w.
Tensor weight(std::string_view op, const Tensor& w);
/// Whether `op` answers in f32 where x is half.
bool answers_in_f32(std::string_view op, const Tensor& x);

/// w rounded to `half`. The copy stays beside w and is used again until somebody writes to w's storage.
Tensor half_copy(const Tensor& w, DType half);
/// The copy, where there is one and w was not written to since; else no tensor.
Tensor current_half_copy(const Tensor& w);
/// Says that the copy holds what w holds now: an optimizer wrote both (AdamTensor::copy), which saves the next step a cast.
void mark_half_copy_current(const Tensor& w);

}  // namespace mirilla::amp
