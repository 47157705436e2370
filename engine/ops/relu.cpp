// SPDX-License-Identifier: MIT
#include "engine/ops/relu.h"

#include "engine/tape.h"

namespace mirilla {

namespace {

thread_local bool guided = false;

}  // namespace

GuidedRelu::GuidedRelu() : before_(guided) { guided = true; }
GuidedRelu::~GuidedRelu() { guided = before_; }

bool relus_are_guided() { return guided; }

Tensor arriving_at_relu(const Tensor& dy) {
  if (!guided) return dy;
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
