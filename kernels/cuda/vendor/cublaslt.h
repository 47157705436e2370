// SPDX-License-Identifier: MIT
#pragma once

#include <cublasLt.h>

#include <string_view>

#include "kernels/cuda/vendor/library.h"

namespace mirilla::cuda::vendor {

/// The functions of cuBLASLt that are used here, from the library or from a test.
struct CublasLt {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtMatmulDescCreate) operation_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) check_algorithm = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;

  /// Throws DeviceError: "cublasLtMatmul, which was to multiply ..., failed: <cuBLAS's text>".
  void check(cublasStatus_t status, std::string_view call, std::string_view purpose) const;
};

/// The library, opened at its first use. Throws DeviceError at each call where it is missing or of another major version.
const Library& cublaslt_library();
/// Its functions.
const CublasLt& cublaslt();

}  // namespace mirilla::cuda::vendor
