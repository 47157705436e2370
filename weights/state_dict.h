// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace mirilla::weights {

/// Host memory for `size` bytes, aligned for every dtype, not initialised.
std::shared_ptr<std::byte> allocate_bytes(size_t size);

/// One named value of a weights file: dense, row-major, little-endian, in PyTorch's layout (a convolution's weights are OIHW) whatever the
/// engine prefers. Copies share the bytes, which are never changed; several arrays may share one buffer.
class Array {
 public:
  Array() = default;
  /// `data` holds numel * size_of(dtype) bytes, aligned to the dtype, and may own more than it points to.
  Array(DType dtype, const Shape& shape, std::shared_ptr<const std::byte> data);
  /// A copy of `values`. Throws ShapeError where their number differs from the shape's.
  template <class T>
  static Array from(const Shape& shape, std::span<const T> values) {
    return copy_of(kDTypeOf<T>, shape, std::as_bytes(values));
  }
  static Array copy_of(DType dtype, const Shape& shape, std::span<const std::byte> bytes);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t numel() const { return shape_.numel(); }
  size_t size_bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  std::span<const std::byte> bytes() const { return {data_.get(), size_bytes()}; }
  /// Throws WeightsError where T is not the element type.
  template <class T>
  std::span<const T> values() const {
    if (kDTypeOf<T> != dtype_) throw_wrong_type(kDTypeOf<T>);
    return {reinterpret_cast<const T*>(data_.get()), static_cast<size_t>(numel())};
  }

 private:
  [[noreturn]] void throw_wrong_type(DType wanted) const;

  DType dtype_ = DType::f32;
  Shape shape_{0};
  std::shared_ptr<const std::byte> data_;
};

/// The values as f32, whatever their dtype; f16, bf16, u8 are exact, f64 and i64 are rounded to nearest.
std::vector<float> to_f32(const Array& array);

/// The contents of a weights file: names to arrays in the file's order (that of the model, in PyTorch's files), free text beside them, and
/// notes for the user about what was skipped or converted ("epoch is a number and was left out").
class StateDict {
 public:
  using Entry = std::pair<std::string, Array>;

  std::map<std::string, std::string> metadata;
  std::vector<std::string> notes;

  /// Appends an array. Throws WeightsError where the name is already there.
  void add(std::string name, Array array);
  /// Null if there is none.
  const Array* find(std::string_view name) const;
  /// Throws WeightsError if there is none.
  const Array& at(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace mirilla::weights
