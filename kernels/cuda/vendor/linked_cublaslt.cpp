// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/cublaslt.h"

// In programs for the emulated GPU, whose cuBLASLt is a part of them.
namespace mirilla::cuda::vendor {

const Library& cublaslt_library() {
  static const Library library = Library::linked("emulated cuBLASLt", static_cast<LibraryVersion>(cublasLtGetVersion()));
  return library;
}

const CublasLt& cublaslt() {
  static const CublasLt table{
      .create = cublasLtCreate,
      .destroy = cublasLtDestroy,
      .status_string = cublasLtGetStatusString,
      .operation_create = cublasLtMatmulDescCreate,
      .operation_destroy = cublasLtMatmulDescDestroy,
      .operation_set = cublasLtMatmulDescSetAttribute,
      .layout_create = cublasLtMatrixLayoutCreate,
      .layout_destroy = cublasLtMatrixLayoutDestroy,
      .preference_create = cublasLtMatmulPreferenceCreate,
      .preference_destroy = cublasLtMatmulPreferenceDestroy,
      .preference_set = cublasLtMatmulPreferenceSetAttribute,
      .heuristic = cublasLtMatmulAlgoGetHeuristic,
      .check_algorithm = cublasLtMatmulAlgoCheck,
      .matmul = cublasLtMatmul,
  };
  return table;
}

}  // namespace mirilla::cuda::vendor
