// SPDX-License-Identifier: MIT
#include "engine/ops/max_pool2d.h"

#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

Shape pooled_shape(const Tensor& x, const Pool2dSpec& spec) {
  check::rank("max_pool2d", x, 4, "(N,H,W,C)");
  if (spec.window < 1 || spec.window > 16 || spec.stride < 1 || spec.padding < 0 || 2 * spec.padding > spec.window)
    throw ShapeError(fmt::format("max_pool2d: window {}, stride {}, padding {} are not possible", spec.window, spec.stride, spec.padding),
                     "the window must be 1 to 16 wide, the stride at least 1, and the padding at most half of the window");
  const int64_t h = x.size(1) + 2 * spec.padding - spec.window, w = x.size(2) + 2 * spec.padding - spec.window;
  if (h < 0 || w < 0)
    throw ShapeError(fmt::format("max_pool2d: the input {} with padding {} is smaller than the window {}", to_string(x.shape()),
                                 spec.padding, spec.window));
  return {x.size(0), h / spec.stride + 1, w / spec.stride + 1, x.size(3)};
}

Tensor max_pool2d(const Tensor& x, const Pool2dSpec& spec) {
  const Shape shape = pooled_shape(x, spec);
  Tensor y = empty(shape, x.dtype(), x.device());
  Tensor index = tape::recording({x}) ? empty(shape, DType::u8, x.device()) : Tensor();
  x.backend().run(op::MaxPool2d{x, spec, y, index});
  return tape::record("max_pool2d", {x}, y, [index, spec, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().run(op::MaxPool2dBackward{dy, index, spec, dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
