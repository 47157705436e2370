// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/dtype.h"
#include "kernels/emulate/library/frame.h"

#include <cublasLt.h>

#include <optional>
#include <vector>

/// A stand-in for cuBLASLt: matrix products with f32 sums, declared by cuBLAS's own headers.
namespace mirilla::emulate::cublaslt {

using Refusal = Refused<cublasStatus_t>;

/// What cublasLtMatmulDescCreate makes.
struct Operation {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;  // one value per row of D
  bool adds_bias() const { return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS; }
  bool has_relu() const { return epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS; }
};

/// A matrix by columns.
struct Layout {
  cudaDataType_t type = CUDA_R_32F;
  int64_t rows = 0, columns = 0, leading = 0;
  int64_t span() const { return (columns - 1) * leading + rows; }  // elements from its first to its last
};

struct Preference {
  uint64_t workspace_bytes = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

/// D = op(A) op(B), with its four matrices.
struct Request {
  Operation operation;
  Layout a, b, c, d;
  int64_t depth() const { return operation.transpose_a == CUBLAS_OP_N ? a.columns : a.rows; }
};

/// One way to compute it. In cublasLtMatmulAlgo_t: number, alignment, a mark.
struct Algorithm {
  enum Number : uint64_t { kWhole = 1, kSplit, kSplitInResult };  // the last rounds partial sums to the result's type
  uint64_t number = kWhole;
  uint64_t alignment = 1;  // of all four addresses
  cublasLtMatmulAlgo_t packed() const;
};

/// Throws Refusal where the matrices do not fit each other, or are of a kind that is not emulated.
void check(const Request& request);
size_t workspace_of(const Request& request, const Algorithm& algorithm);
/// Best first.
std::vector<Algorithm> suggestions(const Request& request, const Preference& preference);
/// Throws Refusal where the bytes were not made by suggestions().
Algorithm unpack(const cublasLtMatmulAlgo_t& packed);

struct Addresses {
  const void *a = nullptr, *b = nullptr, *c = nullptr;
  void* d = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};
/// Gives the product to the stream.
void multiply(Runtime& runtime, const Request& request, const Algorithm& algorithm, float alpha, float beta, const Addresses& at,
              cudaStream_t stream);

}  // namespace mirilla::emulate::cublaslt
