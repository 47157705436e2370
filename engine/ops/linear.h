// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y = x w^T + bias.                                                                              [torch.nn.functional.linear]
///
///   x  (N,I);  w  (O,I);  bias  (O), or no tensor;  y  (N,O)
///
/// Backward: dx = dy w, dw = dy^T x, dbias = sum over n of dy; each only if it is wanted. Does not wait for the device.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias);

/// (N,...) to (N, product of the rest), in memory order: (H,W,C) for a picture; PyTorch has (C,H,W). A view; no values move.
/// [torch.flatten(x, 1)] Importers permute the weights of a linear layer that follows a flatten of more than 1x1.
Tensor flatten(const Tensor& x);

}  // namespace mirilla
