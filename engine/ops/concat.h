// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// (..., A) and (..., B) to (..., A + B). Backward splits.
Tensor concat(const Tensor& a, const Tensor& b);

}  // namespace mirilla
