// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "kernels/core/view.h"

namespace mirilla::cuda::vendor {

/// Applied to a sum before it is rounded and stored: y = max(. + bias, 0), each part only if named; bias (N).
enum class Epilogue { none, relu, bias, relu_bias };

/// y (M,N) = epilogue(op(a) op(b)), dense row-major; op(a) (M,K), op(b) (K,N). Everything that the choice of an algorithm depends on.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType operands = DType::f32, result = DType::f32;
  Epilogue epilogue = Epilogue::none;
  int alignment = 16;  // every address is a multiple of this many bytes: 256, 16, or an element's size
  auto operator<=>(const Product&) const = default;
};
/// "matmul 8x512 . 512x1024 transposed f16 -> f16, aligned to 256": the key of its plan, and its name in messages.
std::string to_string(const Product& product);

/// The product of a call of the table, or none (m = 0) where it does not suit cuBLASLt: rows of halves that are not whole 16-byte vectors,
/// an inner extent of 0, an extent past 2^31.
Product product_of(const ConstView& a, const ConstView& b, bool transpose_a, bool transpose_b, const View& y);

}  // namespace mirilla::cuda::vendor
