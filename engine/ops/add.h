// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y = a + b, elementwise; same shape and dtype. Backward: da = db = dy. Does not wait for the device. Throws ShapeError where they differ.
Tensor add(const Tensor& a, const Tensor& b);

}  // namespace mirilla
