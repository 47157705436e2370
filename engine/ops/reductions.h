// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The sum, or the mean, of all elements: (). Backward: dy everywhere (for the mean, divided by the count). [torch.sum, torch.mean]
Tensor sum(const Tensor& x);
Tensor mean(const Tensor& x);

/// The index of the largest value in each row of (N,C): (N) i64; of equal values the first. Not recorded. [torch.argmax]
Tensor argmax(const Tensor& x);

/// One element of x, as (). Backward: dy at that place, 0 elsewhere. `index` counts in memory order. Grad-CAM starts from it.
Tensor pick(const Tensor& x, int64_t index);

}  // namespace mirilla
