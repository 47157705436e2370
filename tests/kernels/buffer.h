// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/view.h"

namespace mirilla {

/// A device's memory with values in it, for tests of backends below the tensors. Elements that a kernel does not write are found: fresh
/// memory holds 0xFF bytes, which is NaN in each float type.
template <class T>
class Buffer {
 public:
  Buffer(Device& device, const Shape& shape) : Buffer(device, shape, poison(static_cast<size_t>(shape.numel()))) {}
  Buffer(Device& device, const Shape& shape, const std::vector<T>& values)
      : device_(device), shape_(shape), bytes_(values.size() * sizeof(T)) {
    if (static_cast<int64_t>(values.size()) != shape.numel()) throw ShapeError("a test gave another number of values than its shape has");
    address_ = device.allocate(std::max<size_t>(bytes_, 1));
    device.copy_from_host(address_, values.data(), bytes_);
  }
  ~Buffer() { device_.release(address_, std::max<size_t>(bytes_, 1)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  operator View() { return {address_, shape_, kDTypeOf<T>, true}; }
  operator ConstView() const { return {address_, shape_, kDTypeOf<T>, 0, 0, true}; }
  std::vector<T> values() const {
    std::vector<T> host(bytes_ / sizeof(T));
    device_.copy_to_host(host.data(), address_, bytes_);
    return host;
  }

 private:
  static std::vector<T> poison(size_t n) {
    std::vector<T> values(n);
    const auto bytes = std::as_writable_bytes(std::span<T>(values));
    std::fill(bytes.begin(), bytes.end(), std::byte{0xFF});
    return values;
  }

  Device& device_;
  Shape shape_;
  size_t bytes_;
  void* address_ = nullptr;
};

}  // namespace mirilla
