// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <utility>

#include "engine/tensor.h"

/// Mixed precision: which operators compute in half while a scope is open. Weights that train stay f32; an operator that computes in half
/// reads a half copy of them and writes their gradient in f32.
namespace mirilla::amp {

/// How an operator treats its inputs under a scope.
enum class Policy {
  half,         // computes in the scope's half
  f32,          // computes in f32, or at least sums and returns f32
  widest,       // several inputs are brought to the widest dtype among them
  as_it_comes,  // computes in the dtype its input has
};

/// The table, after the lists of PyTorch's autocast for CUDA ("CUDA Ops that can autocast to float16", "... to float32", "... promote to
/// the widest input type").
///                                                                           [docs.pytorch.org/docs/stable/amp.html, autocast op reference]
///
///   half          conv2d, conv2d_bias_add_relu, linear
///   f32           softmax, sum, mean (PyTorch leaves mean as it comes; ours is a sum and must not overflow either)
///   widest        add, concat (in PyTorch add needs no list: it promotes everywhere)
///   as it comes   everything else: batch_norm, relu, pools, dropout, flatten; cross_entropy, which reads halves and answers in f32 anyway
Policy policy_of(std::string_view op);

/// While it lives, this thread's operators follow the table. f16 and bf16 turn casting on, f32 turns it off (inside another scope).
/// Scopes nest. Backward needs no scope: it follows what forward did. Throws Error for another dtype.
class Autocast {
 public:
  explicit Autocast(DType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType before_;
};

/// The half dtype of the open scope; f32 without one.
DType autocast_dtype();

/// The tensor that `op` reads for its input x: x itself, or a recorded cast of it. f64 is never cast.
Tensor input(std::string_view op, const Tensor& x);
/// The same for two inputs of an operator that needs the widest dtype.
std::pair<Tensor, Tensor> inputs(std::string_view op, const Tensor& a, const Tensor& b);
/// The tensor that `op` reads for its weights w: w itself, or half_copy of it. Not recorded: the operator computes the gradient of w
/// itself, in w's dtype.
Tensor weight(std::string_view op, const Tensor& w);
/// Whether `op` returns f32 for a half x.
bool answers_in_f32(std::string_view op, const Tensor& x);

/// w rounded to `half`. The copy is kept with w, one for each half, and reused until w's storage is written to.
Tensor half_copy(const Tensor& w, DType half);
/// The copy asked for last, if there is one and w was not written to since; else no tensor.
Tensor current_half_copy(const Tensor& w);
/// Of weights (K,R,S,3) in f32 whose half copy is current: the copy with a fourth channel of zeros, (K,R,S,4), for pictures that are padded
/// too. It is kept with the copy, and written again whenever that is. No tensor of other weights.
Tensor padded_half_copy(const Tensor& w, DType half);
/// Marks the copy in `half` as equal to w's current values: an optimizer wrote both (AdamTensor::copy), which saves a cast in the next
/// step. Writes the padded copy, where there is one.
void mark_half_copy_current(const Tensor& w, DType half);
/// The same after a replay of a step that did that: nothing is left to write.
void mark_half_copy_replayed(const Tensor& w, DType half);

}  // namespace mirilla::amp
