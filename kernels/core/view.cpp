// SPDX-License-Identifier: MIT
#include "kernels/core/view.h"

namespace mirilla::detail {

void throw_wrong_type(DType wanted, DType came, const Shape& shape) {
  throw ShapeError(fmt::format("a kernel expects {} and the tensor {} holds {}", name_of(wanted), to_string(shape), name_of(came)),
                   "cast it first");
}

}  // namespace mirilla::detail
