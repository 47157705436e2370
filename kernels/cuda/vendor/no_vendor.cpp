// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/vendor.h"

// The executor has no libraries; it exists to run our own kernels.
namespace mirilla::MIRILLA_PLATFORM::vendor {

bool matmul(Stream&, const ConstView&, const ConstView&, const MatmulSpec&, const View&) { return false; }
bool conv2d_forward(Stream&, const ConstView&, const ConstView&, const ConstView&, const Conv2dSpec&, const View&) { return false; }
bool conv2d_backward_data(Stream&, const ConstView&, const ConstView&, const Conv2dSpec&, const View&) { return false; }
bool conv2d_backward_weight(Stream&, const ConstView&, const ConstView&, const Conv2dSpec&, const View&) { return false; }
bool conv2d_bias_add_relu(Stream&, const op::Conv2dBiasAddRelu&) { return false; }

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
