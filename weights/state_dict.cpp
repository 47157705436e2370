// SPDX-License-Identifier: MIT
#include "weights/state_dict.h"

#include <algorithm>
#include <new>

namespace mirilla::weights {

std::shared_ptr<std::byte> allocate_bytes(size_t size) {
  try {
    const auto blocks = std::make_shared_for_overwrite<std::max_align_t[]>(size / sizeof(std::max_align_t) + 1);
    return {blocks, reinterpret_cast<std::byte*>(blocks.get())};
  } catch (const std::bad_alloc&) {
    throw WeightsError(fmt::format("weights of {} bytes do not fit into memory", size));
  }
}

Array::Array(DType dtype, const Shape& shape, std::shared_ptr<const std::byte> data)
    : dtype_(dtype), shape_(shape), data_(std::move(data)) {}

Array Array::copy_of(DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
  if (bytes.size() != static_cast<size_t>(shape.numel()) * size_of(dtype)) {
    throw ShapeError(fmt::format("an array {} of {}: expected {} bytes, got {}", to_string(shape), name_of(dtype),
                                 static_cast<size_t>(shape.numel()) * size_of(dtype), bytes.size()));
  }
  const auto data = allocate_bytes(bytes.size());
  std::copy(bytes.begin(), bytes.end(), data.get());
  return {dtype, shape, data};
}

void Array::throw_wrong_type(DType wanted) const {
  throw WeightsError(fmt::format("an array {} is {} but was requested as {}", to_string(shape_), name_of(dtype_), name_of(wanted)),
                     "to_f32 converts whatever is stored");
}

std::vector<float> to_f32(const Array& array) {
  return dispatch_any(array.dtype(), [&]<class T>() {
    const auto values = array.values<T>();
    std::vector<float> converted(values.size());
    std::transform(values.begin(), values.end(), converted.begin(), [](T value) { return static_cast<float>(value); });
    return converted;
  });
}

void StateDict::add(std::string name, Array array) {
  const auto [at, added] = index_.emplace(name, entries_.size());
  if (!added) throw WeightsError(fmt::format("two tensors are named '{}'", name));
  entries_.emplace_back(std::move(name), std::move(array));
}

const Array* StateDict::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

const Array& StateDict::at(std::string_view name) const {
  const Array* found = find(name);
  if (found == nullptr) throw WeightsError(fmt::format("the weights hold no tensor '{}'", name));
  return *found;
}

}  // namespace mirilla::weights
