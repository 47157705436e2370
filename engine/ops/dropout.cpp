// SPDX-License-Identifier: MIT
#include "engine/ops/dropout.h"

#include "engine/tape.h"

namespace mirilla {

Tensor dropout(const Tensor& x, const DropoutSpec& spec) {
  if (!(spec.p >= 0 && spec.p < 1)) throw ShapeError(fmt::format("dropout: p must be in [0,1) and is {}", spec.p));
  if (spec.p == 0) return x;
  Tensor y = empty_like(x);
  x.backend().dropout(x, spec, y);
  return tape::record("dropout", {x}, y, [spec](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().dropout(dy, spec, dx);
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
