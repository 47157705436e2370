// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/core/dtype.h"

namespace mirilla::weights {

/// The type of a tensor's elements in a file, and the dtype in which its values are kept.
struct StoredType {
  std::string_view storage;      // "torch.FloatStorage"; empty for a dtype that has none of its own
  std::string_view torch;        // "torch.float32"
  std::string_view safetensors;  // "F32"
  size_t element_bytes;
  DType dtype;
  /// Copies one element to one of `dtype`, where it is not the same bytes. Signed and unsigned integers become i64, bool becomes u8, and
  /// the two 8-bit floating-point types of IEEE-like layout become f32; all exactly.
  void (*convert)(const std::byte* from, std::byte* to);
};

/// By the name of PyTorch's storage or dtype, or by that of safetensors. Null for a type that is not read: complex and quantised numbers,
/// and unsigned integers of 64 bits.
const StoredType* stored_type(std::string_view name);
/// The type whose elements are those of a dtype of ours; null for none.
const StoredType* stored_type_of(DType dtype);

}  // namespace mirilla::weights
