// SPDX-License-Identifier: MIT
#pragma once

#include <string>

/// cuBLASLt, opened at its first use.
namespace mirilla::cuda::vendor {

/// "cuBLASLt 13.1.0", or why not. Never throws.
std::string cublaslt_version_text();

}  // namespace mirilla::cuda::vendor
