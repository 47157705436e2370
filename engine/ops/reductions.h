// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The sum, or the mean, of all elements: (). Backward: dy everywhere (over the count).
Tensor sum(const Tensor& x);
Tensor mean(const Tensor& x);

/// The index of the largest of each row of (N,C): (N) i64. The first of equals. Not recorded.
Tensor argmax(const Tensor& x);

/// One element of x, as (). Backward: dy at that place, 0 elsewhere. `index` counts in memory order. What Grad-CAM starts from.
Tensor pick(const Tensor& x, int64_t index);

}  // namespace mirilla
