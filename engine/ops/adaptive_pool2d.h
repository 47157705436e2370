// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// The mean, or the maximum, of each of h x w cells of the picture.       [torch.nn.AdaptiveAvgPool2d, AdaptiveMaxPool2d]
///
///   x  (N,H,W,C);  y  (N,h,w,C), cell (i,j) covering rows floor(i H/h) .. ceil((i+1) H/h), columns likewise
Tensor adaptive_avg_pool2d(const Tensor& x, int h, int w);
Tensor adaptive_max_pool2d(const Tensor& x, int h, int w);

/// Both, the maximum first.                                                                  [fastai.layers.AdaptiveConcatPool2d]
///
///   x  (N,H,W,C);  y  (N,h,w,2C)
///
/// One pass where the device has op::AdaptiveConcatPool2d, else composed.
Tensor adaptive_concat_pool2d(const Tensor& x, int h, int w);

}  // namespace mirilla
