// SPDX-License-Identifier: MIT
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/vendor/vendor.h"

// A build without cuDNN: our own convolutions run.
namespace mirilla::MIRILLA_PLATFORM::vendor {

bool conv2d_forward(Stream&, const op::Conv2d&) { return false; }
bool conv2d_backward_data(Stream&, const ConstView&, const ConstView&, const Conv2dSpec&, const View&) { return false; }
bool conv2d_backward_weight(Stream&, const ConstView&, const ConstView&, const Conv2dSpec&, const View&) { return false; }
bool conv2d_bias_add_relu(Stream&, const op::Conv2dBiasAddRelu&) { return false; }
bool rounds(Stream&, const op::Conv2dBackwardWeight&) { return false; }
bool rounds(Stream&, const op::Conv2dBiasAddRelu&) { return false; }

}  // namespace mirilla::MIRILLA_PLATFORM::vendor

namespace mirilla::MIRILLA_PLATFORM {

std::string conv_plans_text() { return {}; }
PlanStore* conv_plan_store() { return nullptr; }
std::vector<std::string> conv_fusions() { return {}; }

}  // namespace mirilla::MIRILLA_PLATFORM
