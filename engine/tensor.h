// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/storage.h"
#include "kernels/core/backend.h"
#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"
#include "kernels/core/view.h"

namespace mirilla {

class Tensor;
struct HalfCopies;

namespace tape {
struct Node;
struct GradState;
}  // namespace tape

/// A dense, contiguous array on a device: an offset and a shape into a storage, with a dtype. There are no strides. Copying a Tensor copies
/// the handle; both see the same values and the same gradient.
///
/// Passed to a Backend, a tensor becomes a ConstView where the parameter is read and a View where it is written; the second moves the
/// storage's version. Functions do not wait for the device unless they say so.
class Tensor {
 public:
  /// No tensor: an absent bias, a gradient that was not computed. Everything except operator bool throws.
  Tensor() = default;

  explicit operator bool() const { return impl_ != nullptr; }

  const Shape& shape() const { return impl().shape; }
  int64_t size(int dimension) const { return shape()[dimension]; }
  int64_t numel() const { return impl().shape.numel(); }
  DType dtype() const { return impl().dtype; }
  Device& device() const { return impl().storage->device(); }
  Backend& backend() const { return device().backend(); }
  const std::shared_ptr<Storage>& storage() const { return impl().storage; }
  /// In elements, from the storage's start.
  int64_t offset() const { return impl().offset; }
  uint64_t version() const { return impl().storage->version(); }
  /// How many of the last dimension's elements are not padding, which is zero. All of them, unless set_used_channels said otherwise and
  /// nothing was written to the storage since.
  int64_t used_channels() const;
  /// The promise that the last dimension holds zeros from element `count` on, as its writer knows (kernels/core/padded_pictures.h). It ends
  /// with the next write, and goes along to slices, detached tensors and copies, not to the result of an operator.
  void set_used_channels(int64_t count);
  /// Whether both refer to the same elements.
  bool is_same_view(const Tensor& other) const;
  /// Whether nothing else holds this tensor or its storage, so that writing to it affects nothing else.
  bool is_sole_owner() const { return impl_.use_count() == 1 && impl().storage.use_count() == 1; }

  operator ConstView() const;
  operator View();

  // --- Views of the same storage. They take no part in the tape; flatten (engine/ops/linear.h) does ---------------------------------
  /// Rows begin..end of the first dimension. Throws ShapeError outside it.
  Tensor slice(int64_t begin, int64_t end) const;
  /// The same elements in another shape. Throws ShapeError where the counts differ.
  Tensor view(const Shape& shape) const;
  /// The same elements, cut off from the tape.
  Tensor detach() const;

  // --- Copies, also off the tape -------------------------------------------------------------------------------------------------------
  Tensor clone() const;
  /// A copy on the device; the tensor itself if it is there already.
  Tensor to(Device& device) const;
  /// A copy in another dtype (round to nearest even); the tensor itself if it has it already. ops/cast.h is the differentiable form.
  Tensor to(DType dtype) const;
  /// Overwrites the elements with those of `from`: any device and float dtype, same shape. Moves the version.
  void copy_from(const Tensor& from);
  void fill(double value);

  // --- To the host; these wait for the device --------------------------------------------------------------------------------------------
  /// T must be the element type.
  template <class T>
  std::vector<T> to_vector() const {
    if (kDTypeOf<T> != dtype()) detail::throw_wrong_type(kDTypeOf<T>, dtype(), shape());
    std::vector<T> values(static_cast<size_t>(numel()));
    read(values.data());
    return values;
  }
  /// Any dtype, widened.
  std::vector<double> to_doubles() const;
  /// The value of a tensor with exactly one element.
  double item() const;

  // --- Gradients ------------------------------------------------------------------------------------------------------------------------
  /// Whether backward will put a gradient here (a leaf), or needs to pass through here.
  bool requires_grad() const;
  /// Makes this a leaf that accumulates its gradient, or turns that off. Throws for a tensor that an operator recorded.
  Tensor& set_requires_grad(bool on = true);
  /// The gradient from backward: of a leaf (summed until clear_grad), or of a tensor under tape::keep_gradient (the last). No tensor
  /// if there is none. After a backward that began with a factor (tape::BackwardOptions) it comes divided by that, and that of a half
  /// tensor in f32, since a half might not hold it. Read it, do not write into it.
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  void clear_grad();

  /// For the tape.
  const std::shared_ptr<tape::GradState>& grad_state() const { return impl().grad_state; }
  void set_grad_state(std::shared_ptr<tape::GradState> state) { impl().grad_state = std::move(state); }
  /// For amp::half_copy. All copies of the tensor share it.
  HalfCopies& half_copies() const;

 private:
  friend Tensor empty(const Shape& shape, DType dtype, Device& device);

  struct Impl {
    std::shared_ptr<Storage> storage;
    int64_t offset = 0;
    Shape shape;
    DType dtype = DType::f32;
    std::shared_ptr<tape::GradState> grad_state;
    std::shared_ptr<HalfCopies> half_copies;  // null until asked for
    int64_t used_channels = 0;                // promised at this version of the storage
    uint64_t used_at = ~uint64_t{0};
  };

  Impl& impl() const;
  std::byte* address() const { return impl().storage->address() + static_cast<size_t>(impl().offset) * size_of(impl().dtype); }
  Tensor view_of(int64_t offset, const Shape& shape) const;
  Tensor with_padding_of(const Tensor& other) &&;
  void copy_values(const Tensor& from);
  void read(void* to) const;

  std::shared_ptr<Impl> impl_;
};

/// A tensor's values in half precision, and the version of its storage from which they were made.
struct HalfCopy {
  Tensor tensor;
  uint64_t version = 0;
  Tensor padded, zeros;  // of weights (K,R,S,3), once asked for: the copy beside zeros (K,R,S,1), written whenever the copy is
};
/// One for each half dtype: a recorded pass in one of them still reads its copy after a pass in the other.
struct HalfCopies {
  HalfCopy f16, bf16;
  DType last = DType::f16;  // the one asked for last

  HalfCopy& of(DType half) { return half == DType::f16 ? f16 : bf16; }
};

/// A tensor with uninitialised elements.
Tensor empty(const Shape& shape, DType dtype, Device& device);
Tensor empty_like(const Tensor& like);
Tensor zeros(const Shape& shape, DType dtype, Device& device);
Tensor full(const Shape& shape, double value, DType dtype, Device& device);

/// A copy of host values. Throws ShapeError where the counts differ.
Tensor from_bytes(std::span<const std::byte> bytes, const Shape& shape, DType dtype, Device& device);
template <class T>
Tensor from_host(std::span<const T> values, const Shape& shape, Device& device) {
  return from_bytes(std::as_bytes(values), shape, kDTypeOf<T>, device);
}
template <class T>
Tensor from_host(const std::vector<T>& values, const Shape& shape, Device& device) {
  return from_host(std::span<const T>(values), shape, device);
}
/// The same from doubles, rounded to any float dtype: the inverse of Tensor::to_doubles.
Tensor from_doubles(std::span<const double> values, const Shape& shape, DType dtype, Device& device);

/// "f32 (8,64,64,3) on cpu"
std::string describe(const Tensor& tensor);

}  // namespace mirilla
