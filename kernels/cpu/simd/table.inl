// SPDX-License-Identifier: MIT
// Included into namespace mirilla::cpu after kLanes is defined. Everything is in an unnamed namespace: each instruction set has its own
// copies and the linker cannot replace one by another.
namespace {

#include "kernels/cpu/simd/vector.inl"
// These use the vectors above.
#include "kernels/cpu/simd/augment.inl"
#include "kernels/cpu/simd/elementwise.inl"
#include "kernels/cpu/simd/normalization.inl"
#include "kernels/cpu/simd/pooling.inl"
#include "kernels/cpu/simd/sums.inl"

constexpr Loops loops_named(const char* name, const char* title) {
  return {.name = name,
          .title = title,
          .add = add,
          .multiply = multiply,
          .scale = scale,
          .relu = relu,
          .relu_backward = relu_backward,
          .add_bias = add_bias,
          .dropout = dropout,
          .adam = adam,
          .sum = sum,
          .sum_rows = sum_rows,
          .moments = moments,
          .batch_norm_sums = batch_norm_sums,
          .batch_norm_apply = batch_norm_apply,
          .batch_norm_backward = batch_norm_backward,
          .max_pool = max_pool,
          .max_pool_backward = max_pool_backward,
          .average_cell = average_cell,
          .max_cell = max_cell,
          .accumulate = accumulate,
          .largest = largest,
          .augment_row = augment_row};
}

}  // namespace
