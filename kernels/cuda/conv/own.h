// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/backend.h"
#include "kernels/cuda/platform/platform.h"

/// Our own convolutions, whether or not a library could do the call. A library's results are compared with theirs.
namespace mirilla::MIRILLA_PLATFORM {

void own_conv2d(Stream& stream, std::string_view operation, const op::Conv2dBiasAddRelu& call);
void own_conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx);
void own_conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw);

}  // namespace mirilla::MIRILLA_PLATFORM
