// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/versions.h"

// A build without cuDNN: no_conv.cpp.
namespace mirilla::cuda::vendor {

std::string cudnn_version_text() { return "built without cuDNN"; }

}  // namespace mirilla::cuda::vendor
