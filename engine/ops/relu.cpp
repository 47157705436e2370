// SPDX-License-Identifier: MIT
#include "engine/ops/relu.h"

#include "engine/tape.h"

namespace mirilla {

namespace {

thread_local bool relus_are_guided = false;

}  // namespace

GuidedRelu::GuidedRelu() : before_(relus_are_guided) { relus_are_guided = true; }
GuidedRelu::~GuidedRelu() { relus_are_guided = before_; }

Tensor arriving_at_relu(const Tensor& dy) {
  if (!relus_are_guided) return dy;
  Tensor positive = empty_like(dy);
  dy.backend().run(op::Relu{dy, positive});
  return positive;
}

Tensor relu(const Tensor& x) {
  Tensor y = empty_like(x);
  x.backend().run(op::Relu{x, y});
  return tape::record("relu", {x}, y, [saved = tape::save(y)](const Tensor& arriving) {
    const Tensor dy = arriving_at_relu(arriving);
    Tensor dx = empty_like(dy);
    dy.backend().run(op::ReluBackward{dy, saved.get(), dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
