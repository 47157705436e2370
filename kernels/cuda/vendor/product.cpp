// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/product.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>

// What a call of the table asks cuBLASLt for. Needs no cuBLASLt: the ledger (kernels/ledger.h) asks the same in every build.
namespace mirilla::cuda::vendor {

namespace {

int alignment_of(std::initializer_list<const void*> addresses, size_t element) {
  uintptr_t all = 0;
  for (const void* const address : addresses) all |= reinterpret_cast<uintptr_t>(address);
  return all % 256 == 0 ? 256 : all % 16 == 0 ? 16 : static_cast<int>(element);
}

}  // namespace

std::string to_string(const Product& p) {
  constexpr std::array kEpilogues{"", ", relu", ", bias", ", bias, relu"};
  return fmt::format("matmul {}x{}{} . {}x{}{} {} -> {}{}, aligned to {}", p.m, p.k, p.transpose_a ? " transposed" : "", p.k, p.n,
                     p.transpose_b ? " transposed" : "", name_of(p.operands), name_of(p.result),
                     kEpilogues[static_cast<size_t>(p.epilogue)], p.alignment);
}

Product product_of(const ConstView& a, const ConstView& b, bool transpose_a, bool transpose_b, const View& y) {
  Product p{.m = y.shape[0],
            .n = y.shape[1],
            .k = a.shape[transpose_a ? 0 : 1],
            .transpose_a = transpose_a,
            .transpose_b = transpose_b,
            .operands = a.dtype,
            .result = y.dtype,
            .alignment = alignment_of({a.address, b.address, y.address}, size_of(a.dtype))};
  const auto whole_vectors = [](DType dtype, int64_t columns) { return columns * static_cast<int64_t>(size_of(dtype)) % 16 == 0; };
  const bool vectors =
      p.alignment >= 16 && whole_vectors(a.dtype, a.shape[1]) && whole_vectors(b.dtype, b.shape[1]) && whole_vectors(y.dtype, p.n);
  const bool known = (p.operands == DType::f32 || is_half(p.operands)) && (p.result == p.operands || p.result == DType::f32);
  if (!known || p.k == 0 || std::max({p.m, p.n, p.k}) > std::numeric_limits<int32_t>::max() || (is_half(p.operands) && !vectors)) return {};
  return p;
}

}  // namespace mirilla::cuda::vendor
