// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y[n,p,q,k] = bias[k] + sum over r,s,c of x[n, p stride - padding + r dilation, q stride - padding + s dilation, c] w[k,r,s,c], pictures
/// are zero outside.                                                                                   [torch.nn.functional.conv2d]
///
///   x     (N,H,W,C)  f32 (f64 on the reference device), f16, bf16; or padded pictures (N,H,W,4) whose used_channels() are w's 3, on a
///                    device with op::PaddedPictures: the same bits, where our own kernels compute them, and no gradient of x
///   w     (K,R,S,C)  like x; under amp::Autocast f32, and its half copy is read
///   bias  (K), or no tensor; f32 where x is half
///   y     (N,P,Q,K)  P = (H + 2 padding - dilation (R - 1) - 1) / stride + 1, Q likewise
///
/// Backward: dx by conv2d_backward_data, dw by conv2d_backward_weight, dbias = sum over (n,p,q) of dy; each only if it is wanted, with the
/// dtype of its input; dw for a half copy is f32, or in halves where the device makes it so (Backend::rounds).
/// Does not wait for the device. Throws ShapeError where the channels differ (four that are not known to be padded are four), the gradient
/// of padded pictures is wanted, or the window is larger than the padded picture.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dSpec& spec);

/// y = max(conv2d(x, w, bias) + residual, 0), the ReLU only if `relu`, the residual only if there is one: an inference step with the batch
/// norm folded into w and bias. One pass where the device has op::Conv2dBiasAddRelu, else composed, with the same tape either way. A device
/// that would round an f32 bias (Backend::rounds) is given its half copy, which is kept with it.
///
/// `inside` is the value between the norm and the sum, for a watch: a tensor like y with the result of the norm, computed
/// separately. y does not depend on it and no bit changes; the backward pass gives it the gradient at this place.
///
/// Backward: as conv2d, with dsum = 0 where y <= 0, else dy; dresidual = dinside = dsum. Keeps w, y where there is a ReLU, and x where w's
/// gradient is wanted. Does not wait for the device.
Tensor conv2d_bias_add_relu(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu, const Conv2dSpec& spec,
                            const Tensor& inside = {});

}  // namespace mirilla
