// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The largest value of each window; padding never wins, a NaN always wins.                        [torch.nn.functional.max_pool2d]
///
///   x  (N,H,W,C);  y  (N,P,Q,C), P = (H + 2 padding - window) / stride + 1, Q likewise
///
/// Backward: dy goes to the winner, of equal values the first. Keeps one byte per output element, and computes it only where the tape
/// records. Does not wait for the device. Throws ShapeError where the window is larger than the padded picture, the padding larger than
/// half the window, or the window has more than 256 places.
Tensor max_pool2d(const Tensor& x, const Pool2dSpec& spec);

/// The shape of its result; throws what it throws.
Shape pooled_shape(const Tensor& x, const Pool2dSpec& spec);

}  // namespace mirilla
