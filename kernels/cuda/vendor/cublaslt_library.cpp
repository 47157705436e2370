// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/cublaslt.h"

#include <fmt/format.h>

namespace mirilla::cuda::vendor {

namespace {

// Everything used here exists since the first release of the major version.
LibraryWanted wanted() {
  return {.name = "cuBLASLt",
          .files = {fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR), "libcublasLt.so"},
          .version_function = "cublasLtGetVersion",
          .oldest = CUBLAS_VER_MAJOR * 10000,
          .place_variable = "MIRILLA_CUBLASLT_PATH",
          .folders = library_folders(MIRILLA_CUBLASLT_FOLDER),
          .package = CUBLAS_VER_MAJOR >= 13 ? "nvidia-cublas" : fmt::format("nvidia-cublas-cu{}", CUBLAS_VER_MAJOR)};
}

template <class Function>
void find(const Library& library, Function*& function, const char* symbol) {
  function = library.function<Function>(symbol);
}

CublasLt functions_of(const Library& library) {
  CublasLt table;
  find(library, table.create, "cublasLtCreate");
  find(library, table.destroy, "cublasLtDestroy");
  find(library, table.status_string, "cublasLtGetStatusString");
  find(library, table.operation_create, "cublasLtMatmulDescCreate");
  find(library, table.operation_destroy, "cublasLtMatmulDescDestroy");
  find(library, table.operation_set, "cublasLtMatmulDescSetAttribute");
  find(library, table.layout_create, "cublasLtMatrixLayoutCreate");
  find(library, table.layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(library, table.preference_create, "cublasLtMatmulPreferenceCreate");
  find(library, table.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(library, table.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(library, table.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(library, table.check_algorithm, "cublasLtMatmulAlgoCheck");
  find(library, table.matmul, "cublasLtMatmul");
  return table;
}

}  // namespace

const Library& cublaslt_library() {
  static const Library library = Library::open(wanted());
  return library;
}

const CublasLt& cublaslt() {
  static const CublasLt table = functions_of(cublaslt_library());
  return table;
}

}  // namespace mirilla::cuda::vendor
