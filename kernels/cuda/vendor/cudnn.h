// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/vendor/library.h"

/// cuDNN, opened at its first use.
namespace mirilla::cuda::vendor {

/// Throws DeviceError at each call where cuDNN is missing, of another major version, or older than the headers of this build.
const Library& cudnn();

}  // namespace mirilla::cuda::vendor
