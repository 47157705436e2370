// SPDX-License-Identifier: MIT
#include "engine/ops/add.h"

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

Tensor add(const Tensor& first, const Tensor& second) {
  const auto [a, b] = amp::inputs("add", first, second);
  check::same("add", a, b);
  Tensor y = empty_like(a);
  a.backend().add(a, b, y);
  return tape::record("add", {a, b}, y, [](const Tensor& dy) { return tape::Gradients{dy, dy}; });
}

Tensor scale(const Tensor& x, double factor) {
  Tensor y = empty_like(x);
  x.backend().scale(x, factor, y);
  return tape::record("scale", {x}, y, [factor](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().scale(dy, factor, dx);
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
