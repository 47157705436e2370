// SPDX-License-Identifier: MIT
#include "engine/read_back.h"

#include <cstring>

#include "kernels/core/error.h"

namespace mirilla {

namespace {

constexpr size_t kAlign = 16;  // of each tensor's part

size_t bytes_of(const Tensor& tensor) { return tensor ? static_cast<size_t>(tensor.numel()) * size_of(tensor.dtype()) : 0; }
size_t room_of(const Tensor& tensor) { return (bytes_of(tensor) + kAlign - 1) / kAlign * kAlign; }

std::vector<double> widened(const std::byte* from, const Tensor& tensor) {
  return dispatch_any(tensor.dtype(), [&]<class T>() {
    std::vector<double> doubles(static_cast<size_t>(tensor.numel()));
    for (size_t i = 0; i < doubles.size(); ++i) {
      T value;
      std::memcpy(&value, from + i * sizeof value, sizeof value);
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
        doubles[i] = static_cast<float>(value);
      } else {
        doubles[i] = static_cast<double>(value);
      }
    }
    return doubles;
  });
}

}  // namespace

std::vector<std::vector<double>> to_doubles_together(std::span<const Tensor> tensors) {
  size_t bytes = 0;
  Device* device = nullptr;
  for (const Tensor& tensor : tensors) {
    if (!tensor) continue;
    if (device && device != &tensor.device())
      throw DeviceError(fmt::format("tensors of '{}' and '{}' cannot be read together", device->name(), tensor.device().name()));
    device = &tensor.device();
    bytes += room_of(tensor);
  }
  std::vector<std::vector<double>> values(tensors.size());
  if (bytes == 0) return values;
  Tensor gathered = empty({static_cast<int64_t>(bytes)}, DType::u8, *device);
  const View room = gathered;
  size_t at = 0;
  for (const Tensor& tensor : tensors) {
    if (bytes_of(tensor) > 0) device->copy(static_cast<std::byte*>(room.address) + at, ConstView(tensor).address, bytes_of(tensor));
    at += room_of(tensor);
  }
  const std::vector<uint8_t> host = gathered.to_vector<uint8_t>();
  at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i]) values[i] = widened(reinterpret_cast<const std::byte*>(host.data()) + at, tensors[i]);
    at += room_of(tensors[i]);
  }
  return values;
}

}  // namespace mirilla
