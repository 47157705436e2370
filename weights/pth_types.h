// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/core/dtype.h"

namespace mirilla::weights {

/// The element type of a torch storage, and the dtype in which its values are kept.
struct StorageType {
  std::string_view storage;  // "torch.FloatStorage"; empty for a dtype that has none of its own
  std::string_view torch;    // "torch.float32"
  size_t element_bytes;
  DType dtype;
  /// Copies one element to one of `dtype`, where it is not the same bytes. Signed and unsigned integers become i64, bool becomes u8, and
  /// the two 8-bit floating-point types of IEEE-like layout become f32; all exactly.
  void (*convert)(const std::byte* from, std::byte* to);
};

/// Null for a type that is not read: complex and quantised numbers, and unsigned integers of 64 bits.
const StorageType* storage_type(std::string_view storage_or_dtype);
/// The type whose elements are those of a dtype of ours; null for none.
const StorageType* storage_type_of(DType dtype);

}  // namespace mirilla::weights
