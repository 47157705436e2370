// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// x in another float dtype, rounded to nearest even; x itself if it already has that dtype. Backward: dy cast back.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace mirilla
