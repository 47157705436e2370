// SPDX-License-Identifier: MIT
#include "tests/kernels/vendor/fake_cublaslt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/core/half.h"

namespace mirilla::test {

namespace {

FakeCublasLt* current = nullptr;

struct Operation {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};

struct Layout {
  cudaDataType_t type;
  int64_t rows, columns, leading;
};

template <class T, class Handle>
T& as(Handle handle) {
  return *reinterpret_cast<T*>(handle);
}

template <class T, class Handle>
cublasStatus_t make(Handle* handle, T value) {
  if (current->makes-- <= 0) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = reinterpret_cast<Handle>(std::make_unique<T>(std::move(value)).release());
  ++current->alive;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class Handle>
cublasStatus_t destroy(Handle handle) {
  const std::unique_ptr<T> gone(reinterpret_cast<T*>(handle));
  --current->alive;
  return CUBLAS_STATUS_SUCCESS;
}

float element(const void* matrix, const Layout& l, int64_t row, int64_t column) {
  const int64_t at = row + column * l.leading;
  if (l.type == CUDA_R_16F) return static_cast<float>(static_cast<const Half*>(matrix)[at]);
  if (l.type == CUDA_R_16BF) return static_cast<float>(static_cast<const BFloat16*>(matrix)[at]);
  return static_cast<const float*>(matrix)[at];
}

void store(void* matrix, const Layout& l, int64_t row, int64_t column, float value) {
  const int64_t at = row + column * l.leading;
  if (l.type == CUDA_R_16F)
    static_cast<Half*>(matrix)[at] = Half(value);
  else if (l.type == CUDA_R_16BF)
    static_cast<BFloat16*>(matrix)[at] = BFloat16(value);
  else
    static_cast<float*>(matrix)[at] = value;
}

cublasStatus_t operation_set(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t bytes) {
  auto& operation = as<Operation>(handle);
  const auto take = [&](auto& field) {
    EXPECT_EQ(bytes, sizeof field) << "attribute " << attribute;
    std::memcpy(&field, value, sizeof field);
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: take(operation.transpose_a); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: take(operation.transpose_b); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: take(operation.epilogue); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: take(operation.bias); break;
    default: ADD_FAILURE() << "attribute " << attribute << " is none that this fake knows"; return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t preference_set(cublasLtMatmulPreference_t handle, cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                              size_t bytes) {
  EXPECT_EQ(bytes, attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof(uint64_t) : sizeof(uint32_t)) << attribute;
  uint64_t number = 0;
  std::memcpy(&number, value, std::min(bytes, sizeof number));
  as<FakeCublasLt::Preference>(handle).attributes[attribute] = number;
  return CUBLAS_STATUS_SUCCESS;
}

// Sizes of op(A), op(B) and D must fit, and a leading dimension is at least a column.
void expect_a_product(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const auto rows = [](const Layout& l, cublasOperation_t op) { return op == CUBLAS_OP_N ? l.rows : l.columns; };
  const auto columns = [](const Layout& l, cublasOperation_t op) { return op == CUBLAS_OP_N ? l.columns : l.rows; };
  EXPECT_EQ(rows(a, operation.transpose_a), d.rows);
  EXPECT_EQ(columns(b, operation.transpose_b), d.columns);
  EXPECT_EQ(columns(a, operation.transpose_a), rows(b, operation.transpose_b));
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(c.type, d.type);
  for (const Layout* l : {&a, &b, &c, &d}) EXPECT_GE(l->leading, l->rows);
}

cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
                         cublasLtMatmulHeuristicResult_t* results, int* count) {
  expect_a_product(as<Operation>(operation), as<Layout>(a), as<Layout>(b), as<Layout>(c), as<Layout>(d));
  ++current->heuristics;
  current->last_preference = as<FakeCublasLt::Preference>(preference);
  *count = 0;
  if (current->heuristic_status != CUBLAS_STATUS_SUCCESS) return current->heuristic_status;
  for (const FakeCublasLt::Guess& guess : current->guesses) {
    if (*count == wanted) break;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    result.algo.data[0] = guess.id;
    result.algo.data[7] = ~guess.id;  // so that a partly stored plan is detected
    result.workspaceSize = guess.workspace;
    result.state = CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_algorithm(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                               cublasLtMatmulHeuristicResult_t* result) {
  expect_a_product(as<Operation>(operation), as<Layout>(a), as<Layout>(b), as<Layout>(c), as<Layout>(d));
  ++current->checks;
  if (algorithm->data[7] != ~algorithm->data[0]) return CUBLAS_STATUS_INVALID_VALUE;
  *result = {};
  result->algo = *algorithm;
  result->state = current->check_status;
  return current->check_status;
}

cublasStatus_t matmul(cublasLtHandle_t, cublasLtMatmulDesc_t handle, const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                      const void* b, cublasLtMatrixLayout_t b_layout, const void* beta, const void* c, cublasLtMatrixLayout_t c_layout,
                      void* d, cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                      size_t workspace_bytes, cudaStream_t stream) {
  const auto& operation = as<Operation>(handle);
  const auto &la = as<Layout>(a_layout), &lb = as<Layout>(b_layout), &ld = as<Layout>(d_layout);
  expect_a_product(operation, la, lb, as<Layout>(c_layout), ld);
  const auto guess =
      std::find_if(current->guesses.begin(), current->guesses.end(), [&](const auto& g) { return g.id == algorithm->data[0]; });
  if (guess == current->guesses.end() || algorithm->data[7] != ~algorithm->data[0]) {
    ADD_FAILURE() << "the algorithm is none that was given";
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  EXPECT_EQ(workspace_bytes, guess->workspace);
  EXPECT_EQ(workspace != nullptr, guess->workspace > 0);
  EXPECT_EQ(c, d);
  current->ran.push_back(guess->id);
  current->last_compute = operation.compute;
  current->last_scale = operation.scale;
  current->last_stream = stream;
  if (guess->matmul_status != CUBLAS_STATUS_SUCCESS) return guess->matmul_status;
  // The pointer mode is the default (host), and the scale type f32. Where beta is 0, C is not read.
  const float scale = *static_cast<const float*>(alpha);
  EXPECT_EQ(*static_cast<const float*>(beta), 0);
  const int64_t depth = operation.transpose_a == CUBLAS_OP_N ? la.columns : la.rows;
  for (int64_t i = 0; i < ld.rows; ++i)
    for (int64_t j = 0; j < ld.columns; ++j) {
      float sum = 0;
      for (int64_t l = 0; l < depth; ++l)
        sum += (operation.transpose_a == CUBLAS_OP_N ? element(a, la, i, l) : element(a, la, l, i)) *
               (operation.transpose_b == CUBLAS_OP_N ? element(b, lb, l, j) : element(b, lb, j, l));
      sum *= scale;
      if (operation.epilogue & CUBLASLT_EPILOGUE_BIAS) sum += element(operation.bias, {ld.type, ld.rows, 1, ld.rows}, i, 0);
      if (operation.epilogue & CUBLASLT_EPILOGUE_RELU) sum = std::max(sum, 0.0f);
      store(d, ld, i, j, sum);
    }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

FakeCublasLt::FakeCublasLt() { current = this; }
FakeCublasLt::~FakeCublasLt() {
  EXPECT_EQ(alive, 0) << "objects of cuBLASLt were left";
  current = nullptr;
}

cuda::vendor::CublasLt FakeCublasLt::table() const {
  return {.create = [](cublasLtHandle_t* handle) { return make(handle, 0); },
          .destroy = [](cublasLtHandle_t handle) { return test::destroy<int>(handle); },
          .status_string = [](cublasStatus_t) { return "the text of the status"; },
          .operation_create = [](cublasLtMatmulDesc_t* handle, cublasComputeType_t compute,
                                 cudaDataType_t scale) { return make(handle, Operation{.compute = compute, .scale = scale}); },
          .operation_destroy = [](cublasLtMatmulDesc_t handle) { return test::destroy<Operation>(handle); },
          .operation_set = operation_set,
          .layout_create =
              [](cublasLtMatrixLayout_t* handle, cudaDataType type, uint64_t rows, uint64_t columns, int64_t leading) {
                return make(handle, Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading});
              },
          .layout_destroy = [](cublasLtMatrixLayout_t handle) { return test::destroy<Layout>(handle); },
          .preference_create = [](cublasLtMatmulPreference_t* handle) { return make(handle, Preference{}); },
          .preference_destroy = [](cublasLtMatmulPreference_t handle) { return test::destroy<Preference>(handle); },
          .preference_set = preference_set,
          .heuristic = heuristic,
          .check_algorithm = check_algorithm,
          .matmul = matmul};
}

}  // namespace mirilla::test
