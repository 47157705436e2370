// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/versions.h"

namespace mirilla::cuda::vendor {

std::string versions() { return cudnn_version_text() + ", " + cublaslt_version_text(); }

}  // namespace mirilla::cuda::vendor
