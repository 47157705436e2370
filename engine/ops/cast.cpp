// SPDX-License-Identifier: MIT
#include "engine/ops/cast.h"

#include "engine/tape.h"

namespace mirilla {

Tensor cast(const Tensor& x, DType dtype) {
  if (dtype == x.dtype()) return x;
  if (!is_float(dtype) || !is_float(x.dtype()))
    throw ShapeError(fmt::format("cast: expects two float dtypes and got {} to {}", name_of(x.dtype()), name_of(dtype)),
                     "Tensor::to(dtype) converts values without a gradient");
  Tensor y = empty(x.shape(), dtype, x.device());
  x.backend().run(op::Cast{x, y});
  return tape::record("cast", {x}, y, [from = x.dtype()](const Tensor& dy) {
    Tensor dx = empty(dy.shape(), from, dy.device());
    dy.backend().run(op::Cast{dy, dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
