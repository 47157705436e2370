// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/versions.h"
#include "kernels/cuda/vendor/vendor.h"

namespace mirilla::MIRILLA_PLATFORM::vendor {

std::string versions() { return cudnn_version_text() + ", " + cublaslt_version_text(); }

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
