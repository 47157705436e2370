// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/cudnn.h"

#include "kernels/core/error.h"
#include "kernels/cuda/vendor/versions.h"

namespace mirilla::cuda::vendor {

std::string cudnn_version_text() {
  try {
    return cudnn().name() + " " + version_text(cudnn().version());
  } catch (const Error& error) {
    return error.message();
  }
}

}  // namespace mirilla::cuda::vendor
