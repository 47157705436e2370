// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The largest value of each window; padding never wins, a NaN always wins.                        [torch.nn.functional.max_pool2d]
///
///   x  (N,H,W,C);  y  (N,P,Q,C), P = (H + 2 padding - window) / stride + 1, Q likewise
///
/// Backward: dy goes to the winner, of equal values the first. Keeps one byte per output element. Does not wait for the device. Throws
/// ShapeError where the window is larger than the padded picture, the padding larger than half the window, or the window has more than 256
/// places.
Tensor max_pool2d(const Tensor& x, const Pool2dSpec& spec);

/// The mean, or the maximum, of each of h x w cells of the picture.       [torch.nn.AdaptiveAvgPool2d, AdaptiveMaxPool2d]
///
///   x  (N,H,W,C);  y  (N,h,w,C), cell (i,j) covering rows floor(i H/h) .. ceil((i+1) H/h), columns likewise
Tensor adaptive_avg_pool2d(const Tensor& x, int h, int w);
Tensor adaptive_max_pool2d(const Tensor& x, int h, int w);

/// Both, the maximum first.                                                                  [fastai.layers.AdaptiveConcatPool2d]
///
///   x  (N,H,W,C);  y  (N,h,w,2C)
///
/// One pass where the device has Fused::adaptive_concat_pool2d, else composed.
Tensor adaptive_concat_pool2d(const Tensor& x, int h, int w);

/// (..., A) and (..., B) to (..., A + B). Backward splits.
Tensor concat(const Tensor& a, const Tensor& b);

}  // namespace mirilla
