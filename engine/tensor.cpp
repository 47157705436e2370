// SPDX-License-Identifier: MIT
#include "engine/tensor.h"

#include <cstring>

#include "engine/gradient_factor.h"
#include "engine/tape.h"

namespace mirilla {

Tensor::Impl& Tensor::impl() const {
  if (!impl_) throw Error("a tensor was used that does not exist", "an optional tensor is tested with `if (tensor)` first");
  return *impl_;
}

bool Tensor::is_same_view(const Tensor& other) const {
  return impl().storage == other.impl().storage && offset() == other.offset() && shape() == other.shape() && dtype() == other.dtype();
}

Tensor::operator ConstView() const {
  if (!impl_) return {};
  return {address(), shape(), dtype(), impl().storage->id(), version(), true};
}

Tensor::operator View() {
  if (!impl_) return {};
  impl().storage->touch();
  return {address(), shape(), dtype(), true, impl().storage->id(), version()};
}

Tensor Tensor::view_of(int64_t offset, const Shape& shape) const {
  Tensor result;
  result.impl_ = std::make_shared<Impl>(Impl{impl().storage, offset, shape, dtype(), nullptr, nullptr});
  return result;
}

int64_t Tensor::used_channels() const { return impl().used_at == version() ? impl().used_channels : size(-1); }

void Tensor::set_used_channels(int64_t count) {
  if (count < 0 || count > size(-1))
    throw ShapeError(fmt::format("{} used channels were promised of a tensor {}", count, to_string(shape())));
  impl().used_channels = count;
  impl().used_at = version();
}

Tensor Tensor::with_padding_of(const Tensor& other) && {
  if (other.shape().rank() > 0 && other.used_channels() != other.size(-1)) set_used_channels(other.used_channels());
  return std::move(*this);
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  if (begin < 0 || end < begin || end > size(0))
    throw ShapeError(fmt::format("rows {}..{} were requested from a tensor {}", begin, end, to_string(shape())));
  std::vector<int64_t> extents(shape().begin(), shape().end());
  const int64_t row = size(0) == 0 ? 0 : numel() / size(0);
  extents[0] = end - begin;
  return view_of(offset() + begin * row, Shape(extents)).with_padding_of(*this);
}

Tensor Tensor::view(const Shape& shape) const {
  if (shape.numel() != numel())
    throw ShapeError(fmt::format("a tensor {} cannot be viewed as {}: {} elements, not {}", to_string(this->shape()), to_string(shape),
                                 numel(), shape.numel()));
  return view_of(offset(), shape);
}

Tensor Tensor::detach() const { return view_of(offset(), shape()).with_padding_of(*this); }

Tensor Tensor::clone() const {
  Tensor copy = empty(shape(), dtype(), device());
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device& device) const {
  if (&device == &this->device()) return *this;
  Tensor copy = empty(shape(), dtype(), device);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == this->dtype()) return *this;
  Tensor copy = empty(shape(), dtype, device());
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& from) {
  if (from.shape() != shape())
    throw ShapeError(fmt::format("a tensor {} cannot be copied into {}", to_string(from.shape()), to_string(shape())));
  copy_values(from);
  Tensor(*this).with_padding_of(from);
}

void Tensor::copy_values(const Tensor& from) {
  if (from.dtype() != dtype()) {                                             // cast on the device of the values, then move
    Device& caster = from.dtype() == DType::f64 ? from.device() : device();  // f64 never leaves the reference device
    if (&from.device() == &caster && &device() == &caster) return caster.backend().run(op::Cast{from, *this});
    if (&from.device() != &caster) return copy_values(from.to(caster));
    Tensor there = empty(shape(), dtype(), caster);
    caster.backend().run(op::Cast{from, there});
    return copy_values(there);
  }
  const size_t bytes = static_cast<size_t>(numel()) * size_of(dtype());
  if (bytes == 0) return;
  impl().storage->touch();
  if (&from.device() == &device()) {
    device().copy(address(), from.address(), bytes);
  } else if (from.device().host_addressable()) {
    from.device().synchronize();
    device().copy_from_host(address(), from.address(), bytes);
  } else if (device().host_addressable()) {
    device().synchronize();
    from.device().copy_to_host(address(), from.address(), bytes);
  } else {
    std::vector<std::byte> host(bytes);
    from.read(host.data());
    device().copy_from_host(address(), host.data(), bytes);
  }
}

void Tensor::fill(double value) { backend().run(op::Fill{*this, value}); }

void Tensor::read(void* to) const {
  const size_t bytes = static_cast<size_t>(numel()) * size_of(dtype());
  if (bytes > 0) device().copy_to_host(to, address(), bytes);
}

std::vector<double> Tensor::to_doubles() const {
  return dispatch_any(dtype(), [&]<class T>() {
    const std::vector<T> values = to_vector<T>();
    std::vector<double> doubles(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
        doubles[i] = static_cast<float>(values[i]);
      } else {
        doubles[i] = static_cast<double>(values[i]);
      }
    }
    return doubles;
  });
}

double Tensor::item() const {
  if (numel() != 1) throw ShapeError(fmt::format("item() needs one element, but the tensor {} has {}", to_string(shape()), numel()));
  return to_doubles()[0];
}

bool Tensor::requires_grad() const {
  const auto& state = impl().grad_state;
  return state && (state->requires_grad || state->producer);
}

Tensor& Tensor::set_requires_grad(bool on) {
  auto& state = impl().grad_state;
  if (state && state->producer)
    throw Error("requires_grad is only for leaves, but this tensor was computed", "use tape::keep_gradient to keep its gradient");
  if (on && !is_float(dtype())) throw ShapeError(fmt::format("a gradient needs a float dtype, but this tensor is {}", name_of(dtype())));
  if (!state) state = std::make_shared<tape::GradState>();
  state->dtype = dtype();
  state->requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const { return impl().grad_state ? tape::plain_gradient(impl().grad_state->holder()) : Tensor(); }

void Tensor::set_grad(const Tensor& grad) {
  if (grad && (grad.shape() != shape() || grad.dtype() != dtype()))
    throw ShapeError(fmt::format("expected a gradient like the tensor ({}), got {}", describe(*this), describe(grad)));
  if (!impl().grad_state) impl().grad_state = std::make_shared<tape::GradState>();
  tape::GradState& state = impl().grad_state->holder();
  state.dtype = dtype();
  state.clear();
  state.grad = grad;
}

void Tensor::clear_grad() {
  if (impl().grad_state) impl().grad_state->holder().clear();
}

HalfCopies& Tensor::half_copies() const {
  if (!impl().half_copies) impl().half_copies = std::make_shared<HalfCopies>();
  return *impl().half_copies;
}

Tensor empty(const Shape& shape, DType dtype, Device& device) {
  Tensor tensor;
  const size_t bytes = static_cast<size_t>(shape.numel()) * size_of(dtype);
  tensor.impl_ = std::make_shared<Tensor::Impl>(Tensor::Impl{std::make_shared<Storage>(device, bytes), 0, shape, dtype, nullptr, nullptr});
  return tensor;
}

Tensor empty_like(const Tensor& like) { return empty(like.shape(), like.dtype(), like.device()); }

Tensor zeros(const Shape& shape, DType dtype, Device& device) { return full(shape, 0, dtype, device); }

Tensor full(const Shape& shape, double value, DType dtype, Device& device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill(value);
  return tensor;
}

Tensor from_bytes(std::span<const std::byte> bytes, const Shape& shape, DType dtype, Device& device) {
  const size_t wanted = static_cast<size_t>(shape.numel()) * size_of(dtype);
  if (bytes.size() != wanted)
    throw ShapeError(fmt::format("{} {}: expected {} bytes, got {}", name_of(dtype), to_string(shape), wanted, bytes.size()));
  Tensor tensor = empty(shape, dtype, device);
  if (wanted > 0) {
    const View view = tensor;
    device.copy_from_host(view.address, bytes.data(), wanted);
  }
  return tensor;
}

Tensor from_doubles(std::span<const double> values, const Shape& shape, DType dtype, Device& device) {
  if (dtype == DType::f64) return from_host(values, shape, device);
  return from_host(std::vector<float>(values.begin(), values.end()), shape, device).to(dtype);
}

std::string describe(const Tensor& tensor) {
  if (!tensor) return "no tensor";
  return fmt::format("{} {} on {}", name_of(tensor.dtype()), to_string(tensor.shape()), tensor.device().name());
}

}  // namespace mirilla
