// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/backend.h"
#include "kernels/cuda/platform/platform.h"

/// NVIDIA's libraries for the table of operations: cuDNN's convolutions and cuBLASLt's products.
///
/// Each function either starts the whole call on the stream and returns true, or starts nothing and returns false, where the library has no
/// good algorithm for the call (an odd number of channels, an unaligned address) or the options exclude it; then our own kernels
/// run. Arguments are those of the table of operations. None waits for the device, except that the first call of a kind and size times its
/// candidates, but never while the stream records. Throws DeviceError where a library is missing, of another major version, or fails.
///
/// On the executor, and in builds without the libraries, every function returns false.
namespace mirilla::MIRILLA_PLATFORM::vendor {

bool matmul(Stream& stream, const ConstView& a, const ConstView& b, const MatmulSpec& spec, const View& y);

bool conv2d_forward(Stream& stream, const op::Conv2d& call);
bool conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx);
bool conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw);
bool conv2d_bias_add_relu(Stream& stream, const op::Conv2dBiasAddRelu& call);

/// Backend::rounds: whether the plan for this call makes an f32 result in halves, or rounds an f32 bias. Finds the plan, as the call would.
bool rounds(Stream& stream, const op::Conv2dBackwardWeight& call);
bool rounds(Stream& stream, const op::Conv2dBiasAddRelu& call);

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
