// SPDX-License-Identifier: MIT
#include "engine/ops/pool.h"

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

namespace {

Shape pooled_shape(const Tensor& x, const Pool2dSpec& spec) {
  check::rank("max_pool2d", x, 4, "(N,H,W,C)");
  if (spec.window < 1 || spec.window > 16 || spec.stride < 1 || spec.padding < 0 || 2 * spec.padding > spec.window)
    throw ShapeError(fmt::format("max_pool2d: window {}, stride {}, padding {} make no sense", spec.window, spec.stride, spec.padding),
                     "the window is 1 to 16 wide and the padding at most half of it");
  const int64_t h = x.size(1) + 2 * spec.padding - spec.window, w = x.size(2) + 2 * spec.padding - spec.window;
  if (h < 0 || w < 0)
    throw ShapeError(fmt::format("max_pool2d: the input {} with padding {} is smaller than the window {}", to_string(x.shape()),
                                 spec.padding, spec.window));
  return {x.size(0), h / spec.stride + 1, w / spec.stride + 1, x.size(3)};
}

void check_cells(std::string_view op, const Tensor& x, int h, int w) {
  check::rank(op, x, 4, "(N,H,W,C)");
  if (h < 1 || w < 1 || x.size(1) < 1 || x.size(2) < 1)
    throw ShapeError(fmt::format("{}: {} cannot be pooled to {}x{}", op, to_string(x.shape()), h, w));
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dSpec& spec) {
  const Shape shape = pooled_shape(x, spec);
  Tensor y = empty(shape, x.dtype(), x.device());
  Tensor index = empty(shape, DType::u8, x.device());
  x.backend().max_pool2d(x, spec, y, index);
  return tape::record("max_pool2d", {x}, y, [index, spec, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().max_pool2d_backward(dy, index, spec, dx);
    return tape::Gradients{dx};
  });
}

Tensor adaptive_avg_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_avg_pool2d", x, h, w);
  Tensor y = empty({x.size(0), h, w, x.size(3)}, x.dtype(), x.device());
  x.backend().adaptive_avg_pool2d(x, y);
  return tape::record("adaptive_avg_pool2d", {x}, y, [shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().adaptive_avg_pool2d_backward(dy, dx);
    return tape::Gradients{dx};
  });
}

Tensor adaptive_max_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_max_pool2d", x, h, w);
  Tensor y = empty({x.size(0), h, w, x.size(3)}, x.dtype(), x.device());
  Tensor index = empty(y.shape(), DType::i64, x.device());
  x.backend().adaptive_max_pool2d(x, y, index);
  return tape::record("adaptive_max_pool2d", {x}, y, [index, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().adaptive_max_pool2d_backward(dy, index, dx);
    return tape::Gradients{dx};
  });
}

Tensor adaptive_concat_pool2d(const Tensor& x, int h, int w) {
  check_cells("adaptive_concat_pool2d", x, h, w);
  if (!x.backend().has(Fused::adaptive_concat_pool2d)) return concat(adaptive_max_pool2d(x, h, w), adaptive_avg_pool2d(x, h, w));
  Tensor y = empty({x.size(0), h, w, 2 * x.size(3)}, x.dtype(), x.device());
  Tensor index = empty({x.size(0), h, w, x.size(3)}, DType::i64, x.device());
  x.backend().adaptive_concat_pool2d(x, y, index);
  return tape::record("adaptive_concat_pool2d", {x}, y, [index, shape = x.shape()](const Tensor& dy) {
    Tensor dx = empty(shape, dy.dtype(), dy.device());
    dy.backend().adaptive_concat_pool2d_backward(dy, index, dx);
    return tape::Gradients{dx};
  });
}

Tensor concat(const Tensor& left, const Tensor& right) {
  const auto [a, b] = amp::inputs("concat", left, right);
  check::same_kind("concat", a, b);
  std::vector<int64_t> extents(a.shape().begin(), a.shape().end()), others(b.shape().begin(), b.shape().end());
  if (extents.empty() || extents.size() != others.size() || !std::equal(extents.begin(), extents.end() - 1, others.begin()))
    throw ShapeError(
        fmt::format("concat: all but the last extent must agree, and {} meets {}", to_string(a.shape()), to_string(b.shape())));
  extents.back() += others.back();
  Tensor y = empty(Shape(extents), a.dtype(), a.device());
  a.backend().concat(a, b, y);
  return tape::record("concat", {a, b}, y, [first = a.shape(), second = b.shape()](const Tensor& dy, const tape::Needs& needs) {
    Tensor da = needs[0] ? empty(first, dy.dtype(), dy.device()) : Tensor();
    Tensor db = needs[1] ? empty(second, dy.dtype(), dy.device()) : Tensor();
    dy.backend().split(dy, da, db);
    return tape::Gradients{da, db};
  });
}

}  // namespace mirilla
