// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tape.h"

namespace mirilla {

/// y = factor x, an operator for tests of the tape: the smallest that has a gradient of its own. Backward: dx = factor dy.
inline Tensor scale(const Tensor& x, double factor) {
  Tensor y = empty_like(x);
  x.backend().run(op::Scale{x, factor, y});
  return tape::record("scale", {x}, y, [factor](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    dy.backend().run(op::Scale{dy, factor, dx});
    return tape::Gradients{dx};
  });
}

}  // namespace mirilla
