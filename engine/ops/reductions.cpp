// SPDX-License-Identifier: MIT
#include "engine/ops/reductions.h"

#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

// dy () times factor, everywhere.
Tensor spread(const Tensor& dy, double factor, const Shape& shape) {
  Tensor dx = full(shape, factor, dy.dtype(), dy.device());
  dy.backend().multiply(dx, dy, dx);
  return dx;
}

}  // namespace

Tensor sum(const Tensor& x) {
  Tensor y = empty({}, x.dtype(), x.device());
  x.backend().sum(x, y);
  return tape::record("sum", {x}, y, [shape = x.shape()](const Tensor& dy) { return tape::Gradients{spread(dy, 1, shape)}; });
}

Tensor mean(const Tensor& x) {
  const double factor = 1.0 / static_cast<double>(x.numel());  // 0/0 = NaN for no elements, as PyTorch
  Tensor y = empty({}, x.dtype(), x.device());
  x.backend().sum(x, y);
  x.backend().scale(y, factor, y);
  return tape::record("mean", {x}, y, [shape = x.shape(), factor](const Tensor& dy) { return tape::Gradients{spread(dy, factor, shape)}; });
}

Tensor argmax(const Tensor& x) {
  check::rank("argmax", x, 2, "(N,C)");
  if (x.size(1) == 0) throw ShapeError(fmt::format("argmax: {} has rows without elements", to_string(x.shape())));
  Tensor y = empty({x.size(0)}, DType::i64, x.device());
  x.backend().argmax(x, y);
  return y;
}

Tensor pick(const Tensor& x, int64_t index) {
  if (index < 0 || index >= x.numel()) throw ShapeError(fmt::format("pick: element {} was asked of {}", index, to_string(x.shape())));
  const auto element = [index](const Tensor& of) { return of.view({of.numel()}).slice(index, index + 1).view({}); };
  return tape::record("pick", {x}, element(x).clone(), [element, shape = x.shape()](const Tensor& dy) {
    Tensor dx = zeros(shape, dy.dtype(), dy.device());
    element(dx).copy_from(dy);
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
