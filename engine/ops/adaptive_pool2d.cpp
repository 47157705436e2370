// SPDX-License-Identifier: MIT
#include "engine/ops/adaptive_pool2d.h"

#include "engine/ops/check.h"
#include "engine/ops/concat.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

void check_cells(std::string_view op, const Tensor& x, int h, int w) {
  check::rank(op, x, 4, "(N,H,W,C)");
  if (h < 1 || w < 1 || x.size(1) < 1 || x.size(2) < 1)
    throw ShapeError(fmt::format("{}: {} cannot be pooled to {}x{}", op, to_string(x.shape()), h, w));
}

}  // namespace

Tensor adaptive_avg_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_avg_pool2d", x, h, w);
  Tensor y = empty({x.size(0), h, w, x.size(3)}, x.dtype(), x.device());
  x.backend().run(op::AdaptiveAvgPool2d{x, y});
  return tape::record("adaptive_avg_pool2d", {x}, y, [shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().run(op::AdaptiveAvgPool2dBackward{dy, dx});
    return tape::Gradients{dx};
  });
}

Tensor adaptive_max_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_max_pool2d", x, h, w);
  Tensor y = empty({x.size(0), h, w, x.size(3)}, x.dtype(), x.device());
  Tensor index = empty(y.shape(), DType::i64, x.device());
  x.backend().run(op::AdaptiveMaxPool2d{x, y, index});
  return tape::record("adaptive_max_pool2d", {x}, y, [index, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().run(op::AdaptiveMaxPool2dBackward{dy, index, dx});
    return tape::Gradients{dx};
  });
}

Tensor adaptive_concat_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_concat_pool2d", x, h, w);
  if (!x.backend().has<op::AdaptiveConcatPool2d>()) return concat(adaptive_max_pool2d(x, h, w), adaptive_avg_pool2d(x, h, w));
  Tensor y = empty({x.size(0), h, w, 2 * x.size(3)}, x.dtype(), x.device());
  Tensor index = empty({x.size(0), h, w, x.size(3)}, DType::i64, x.device());
  x.backend().run(op::AdaptiveConcatPool2d{x, y, index});
  return tape::record("adaptive_concat_pool2d", {x}, y, [index, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().run(op::AdaptiveConcatPool2dBackward{dy, index, dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
