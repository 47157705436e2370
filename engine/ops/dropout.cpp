// SPDX-License-Identifier: MIT
#include "engine/ops/dropout.h"

#include "engine/tape.h"

namespace mirilla {

namespace {

DropoutSpec with_step(DropoutSpec spec, const Tensor& step) {
  spec.step = step;
  return spec;
}

}  // namespace

Tensor dropout(const Tensor& x, const DropoutSpec& spec, const Tensor& step) {
  if (!(spec.p >= 0 && spec.p < 1)) throw ShapeError(fmt::format("dropout: p must be in [0,1) and is {}", spec.p));
  if (spec.p == 0) return x;
  Tensor y = empty_like(x);
  x.backend().run(op::Dropout{x, with_step(spec, step), y});
  return tape::record("dropout", {x}, y, [spec, step = tape::save(step)](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().run(op::Dropout{dy, with_step(spec, step.get()), dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
