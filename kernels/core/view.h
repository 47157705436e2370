// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace mirilla {

namespace detail {
[[noreturn]] void throw_wrong_type(DType wanted, DType came, const Shape& shape);
}

/// All that a kernel knows about a tensor it reads: address, shape, dtype; and a stamp that lets a device keep what it derived from the
/// values (reordered weights, for example): storage_id names the storage and is never reused; version grows with each write. A storage_id
/// of 0 means "do not keep". An empty view stands for an absent optional input.
struct ConstView {
  const void* address = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  uint64_t storage_id = 0;
  uint64_t version = 0;
  bool present = false;  // tells an absent tensor from a present one without elements

  explicit operator bool() const { return present; }
  int64_t numel() const { return shape.numel(); }
  /// Throws ShapeError where T is not the element type.
  template <class T>
  const T* data() const {
    if (kDTypeOf<T> != dtype) detail::throw_wrong_type(kDTypeOf<T>, dtype, shape);
    return static_cast<const T*>(address);
  }
};

/// The same for a tensor that a kernel writes. Its stamp equals that of a ConstView of the written values. A stamp of 0, as in a View that
/// was not made by a tensor, means that nothing is known about the values.
struct View {
  void* address = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  bool present = false;
  uint64_t storage_id = 0;
  uint64_t version = 0;

  explicit operator bool() const { return present; }
  operator ConstView() const { return {address, shape, dtype, 0, 0, present}; }
  int64_t numel() const { return shape.numel(); }
  template <class T>
  T* data() const {
    if (kDTypeOf<T> != dtype) detail::throw_wrong_type(kDTypeOf<T>, dtype, shape);
    return static_cast<T*>(address);
  }
};

}  // namespace mirilla
