// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/cublaslt.h"

#include "kernels/core/error.h"
#include "kernels/cuda/vendor/versions.h"

namespace mirilla::cuda::vendor {

void CublasLt::check(cublasStatus_t status, std::string_view call, std::string_view purpose) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(fmt::format("{}, which was to {}, failed: {}", call, purpose, status_string(status)));
}

std::string cublaslt_version_text() {
  try {
    return cublaslt_library().name() + " " + version_text(cublaslt_library().version());
  } catch (const Error& error) {
    return error.message();
  }
}

}  // namespace mirilla::cuda::vendor
