// SPDX-License-Identifier: MIT
#include "engine/ops/reductions.h"

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

// Fills `shape` with dy () times factor, as `dtype`.
Tensor spread(const Tensor& dy, double factor, const Shape& shape, DType dtype) {
  Tensor dx = full(shape, factor, dy.dtype(), dy.device());
  Tensor out = dtype == dy.dtype() ? dx : empty(shape, dtype, dy.device());
  dy.backend().run(op::Multiply{dx, dy, out});
  return out;
}

// The sum () of x, for the operator with this name.
Tensor total_of(std::string_view op, const Tensor& x) {
  Tensor y = empty({}, amp::answers_in_f32(op, x) ? DType::f32 : x.dtype(), x.device());
  x.backend().run(op::Sum{x, y});
  return y;
}

}  // namespace

Tensor sum(const Tensor& x) {
  return tape::record("sum", {x}, total_of("sum", x),
                      [shape = x.shape(), dtype = x.dtype()](const Tensor& dy) { return tape::Gradients{spread(dy, 1, shape, dtype)}; });
}

Tensor mean(const Tensor& x) {
  const double factor = 1.0 / static_cast<double>(x.numel());  // 0/0 = NaN for no elements, as in PyTorch
  Tensor y = total_of("mean", x);
  x.backend().run(op::Scale{y, factor, y});
  return tape::record("mean", {x}, y, [shape = x.shape(), dtype = x.dtype(), factor](const Tensor& dy) {
    return tape::Gradients{spread(dy, factor, shape, dtype)};
  });
}

Tensor argmax(const Tensor& x) {
  check::rank("argmax", x, 2, "(N,C)");
  if (x.size(1) == 0) throw ShapeError(fmt::format("argmax: {} has rows without elements", to_string(x.shape())));
  Tensor y = empty({x.size(0)}, DType::i64, x.device());
  x.backend().run(op::Argmax{x, y});
  return y;
}

Tensor pick(const Tensor& x, int64_t index) {
  if (index < 0 || index >= x.numel()) throw ShapeError(fmt::format("pick: there is no element {} in {}", index, to_string(x.shape())));
  const auto element = [index](const Tensor& of) { return of.view({of.numel()}).slice(index, index + 1).view({}); };
  return tape::record("pick", {x}, element(x).clone(), [element, shape = x.shape()](const Tensor& dy) {
    Tensor dx = zeros(shape, dy.dtype(), dy.device());
    element(dx).copy_from(dy);
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
