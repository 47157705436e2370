// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y = max(x, 0), elementwise; NaN stays NaN.                                   [torch.nn.functional.relu]
///
///   x  any shape, any float dtype the device has;  y  like x
///
/// Backward: dx = dy where y > 0, else 0 (0 at the kink, as PyTorch). Keeps y, which the next layer keeps anyway, and not x.
/// Does not wait for the device.
Tensor relu(const Tensor& x);

}  // namespace mirilla
