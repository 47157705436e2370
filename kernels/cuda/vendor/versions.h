// SPDX-License-Identifier: MIT
#pragma once

#include <string>

/// "cuDNN 9.19.0", or one sentence that says why it is missing. None of these throws.
namespace mirilla::cuda::vendor {

std::string cudnn_version_text();
std::string cublaslt_version_text();
/// Both in one line.
std::string versions();

}  // namespace mirilla::cuda::vendor
