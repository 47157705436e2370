// SPDX-License-Identifier: MIT
#include "engine/off_tape.h"

#include "kernels/core/backend.h"

namespace mirilla::off_tape {

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = empty_like(a);
  a.backend().run(op::Multiply{a, b, y});
  return y;
}

Tensor sum(const Tensor& a, const Tensor& b) {
  Tensor y = empty_like(a);
  a.backend().run(op::Add{a, b, y});
  return y;
}

Tensor times(const Tensor& x, double factor) {
  Tensor y = empty_like(x);
  x.backend().run(op::Scale{x, factor, y});
  return y;
}

Tensor selected(const Tensor& x, const Tensor& mask) {
  Tensor y = empty_like(x);
  x.backend().run(op::ReluBackward{x, mask, y});
  return y;
}

}  // namespace mirilla::off_tape
