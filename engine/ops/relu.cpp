// SPDX-License-Identifier: MIT
#include "engine/ops/relu.h"

#include "engine/tape.h"

namespace mirilla {

Tensor relu(const Tensor& x) {
  Tensor y = empty_like(x);
  x.backend().relu(x, y);
  return tape::record("relu", {x}, y, [saved = tape::save(y)](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().relu_backward(dy, saved.get(), dx);
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
