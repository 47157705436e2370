// SPDX-License-Identifier: MIT
#include "engine/ops/concat.h"

#include <algorithm>
#include <vector>

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

Tensor concat(const Tensor& left, const Tensor& right) {
  const auto [a, b] = amp::inputs("concat", left, right);
  check::same_kind("concat", a, b);
  std::vector<int64_t> extents(a.shape().begin(), a.shape().end()), others(b.shape().begin(), b.shape().end());
  if (extents.empty() || extents.size() != others.size() || !std::equal(extents.begin(), extents.end() - 1, others.begin()))
    throw ShapeError(fmt::format("concat: expects shapes that differ only in the last extent and got {} and {}", to_string(a.shape()),
                                 to_string(b.shape())));
  extents.back() += others.back();
  Tensor y = empty(Shape(extents), a.dtype(), a.device());
  a.backend().run(op::Concat{a, b, y});
  return tape::record("concat", {a, b}, y, [first = a.shape(), second = b.shape()](const Tensor& dy, const tape::Needs& needs) {
    Tensor da = needs[0] ? empty(first, dy.dtype(), dy.device()) : Tensor();
    Tensor db = needs[1] ? empty(second, dy.dtype(), dy.device()) : Tensor();
    dy.backend().run(op::Split{dy, da, db});
    return tape::Gradients{da, db};
  });
}

}  // namespace mirilla
