// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/vendor.h"
#include "kernels/cuda/vendor/versions.h"

// A build without cuBLASLt: our own products run.
namespace mirilla::MIRILLA_PLATFORM::vendor {

bool matmul(Stream&, const ConstView&, const ConstView&, const MatmulSpec&, const View&) { return false; }
std::string cublaslt_version_text() { return "built without cuBLASLt"; }

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
