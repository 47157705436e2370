// SPDX-License-Identifier: MIT
#include "engine/ops/check.h"

namespace mirilla::check {

void same_kind(std::string_view op, const Tensor& a, const Tensor& b) {
  if (&a.device() != &b.device() || a.dtype() != b.dtype())
    throw ShapeError(fmt::format("{}: expects inputs of one dtype on one device and got {} and {}", op, describe(a), describe(b)),
                     is_half(a.dtype()) || is_half(b.dtype())
                         ? "an amp::Autocast scope converts inputs and weights to one dtype; cast() converts one tensor"
                         : "cast() changes the dtype, Tensor::to the device");
}

void parameter_of(std::string_view op, std::string_view name, const Tensor& x, const Tensor& p) {
  const DType wanted = is_half(x.dtype()) ? DType::f32 : x.dtype();
  if (&x.device() != &p.device() || p.dtype() != wanted)
    throw ShapeError(
        fmt::format("{}: beside {}, {} must be {} on the same device and is {}", op, describe(x), name, name_of(wanted), describe(p)),
        "parameters stay f32 where pictures are f16 or bf16; Tensor::to changes dtype and device");
}

void same(std::string_view op, const Tensor& a, const Tensor& b) {
  same_kind(op, a, b);
  if (a.shape() != b.shape())
    throw ShapeError(fmt::format("{}: expects inputs of one shape and got {} and {}", op, to_string(a.shape()), to_string(b.shape())));
}

void rank(std::string_view op, const Tensor& x, int rank, std::string_view form) {
  if (x.shape().rank() != rank) throw ShapeError(fmt::format("{}: expects {} and got {}", op, form, to_string(x.shape())));
}

void vector_of(std::string_view op, std::string_view name, const Tensor& x, int64_t extent) {
  if (x.shape() != Shape{extent}) throw ShapeError(fmt::format("{}: {} must be ({}) and is {}", op, name, extent, to_string(x.shape())));
}

}  // namespace mirilla::check
