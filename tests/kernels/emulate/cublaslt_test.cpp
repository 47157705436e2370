// SPDX-License-Identifier: MIT
#include "kernels/emulate/library/work.h"
#include "tests/kernels/emulate/support.h"

#include <cublasLt.h>

#include <cmath>

// The stand-in for cuBLASLt: what it computes, when, and what it refuses.
namespace mirilla::emulate {
namespace {

using testing::HasSubstr;

cudaDataType_t cuda_type(DType dtype) { return dtype == DType::f16 ? CUDA_R_16F : dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

std::vector<float> numbers(int64_t count, DType dtype, unsigned seed) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 2654435761u * (seed + 1);
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  round_to(dtype, values);
  return values;
}

// D (m,n) = op(A) (m,k) op(B) (k,n), with two elements of room after each column.
struct EmulatedCublasLt : Emulated {
  static constexpr int64_t m = 12, n = 5, k = 9, kRoom = 2;

  void prepare(DType read = DType::f32, DType written = DType::f32, bool transpose_a = false, bool transpose_b = false) {
    reads = read;
    writes = written;
    a_values = numbers(m * k, read, 1);
    b_values = numbers(k * n, read, 2);
    bias_values = numbers(m, written, 3);
    a = on_device(spread(a_values, transpose_a ? k : m), read);
    b = on_device(spread(b_values, transpose_b ? n : k), read);
    d = on_device(std::vector<float>(static_cast<size_t>((m + kRoom) * n)), written);
    bias = on_device(bias_values, written);
    ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    la = layout(read, transpose_a ? k : m, transpose_a ? m : k);
    lb = layout(read, transpose_b ? n : k, transpose_b ? k : n);
    ld = layout(written, m, n);
    turned_a = transpose_a;
    turned_b = transpose_b;
  }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    ASSERT_EQ(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }
  static cublasLtMatrixLayout_t layout(DType dtype, int64_t rows, int64_t columns, int64_t leading = -1) {
    cublasLtMatrixLayout_t made = nullptr;
    EXPECT_EQ(cublasLtMatrixLayoutCreate(&made, cuda_type(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                         leading < 0 ? rows + kRoom : leading),
              CUBLAS_STATUS_SUCCESS);
    return made;
  }
  // Columns of so many rows, kRoom apart.
  static std::vector<float> spread(const std::vector<float>& dense, int64_t rows) {
    std::vector<float> all;
    for (size_t i = 0; i < dense.size(); ++i) {
      all.push_back(dense[i]);
      if (static_cast<int64_t>(i + 1) % rows == 0) all.insert(all.end(), kRoom, 1e9f);
    }
    return all;
  }
  static void* on_device(std::vector<float> values, DType dtype) {
    std::vector<std::byte> bytes(values.size() * size_of(dtype));
    store_floats(values, bytes.data(), dtype);
    void* address = nullptr;
    EXPECT_EQ(cudaMalloc(&address, bytes.size()), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(address, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), cudaSuccess);
    return address;
  }

  std::vector<cublasLtMatmulHeuristicResult_t> suggested(uint64_t workspace_bytes, uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK,
                                                         uint32_t alignment = 16) {
    cublasLtMatmulPreference_t preference = nullptr;
    EXPECT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                 CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, alignment);
    std::vector<cublasLtMatmulHeuristicResult_t> found(8);
    int count = 0;
    EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle, operation, la, lb, ld, ld, preference, 8, found.data(), &count),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulPreferenceDestroy(preference), CUBLAS_STATUS_SUCCESS);
    found.resize(static_cast<size_t>(count));
    return found;
  }
  cublasStatus_t multiply(const cublasLtMatmulAlgo_t* algorithm, void* workspace = nullptr, size_t workspace_bytes = 0,
                          cudaStream_t stream = nullptr) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, operation, &one, a, la, b, lb, &zero, d, ld, d, ld, algorithm, workspace, workspace_bytes, stream);
  }
  void expect_refused(const std::function<cublasStatus_t()>& f, const char* sentence) {
    cublasStatus_t answer = CUBLAS_STATUS_SUCCESS;
    const std::string text = printed([&] { answer = f(); });
    EXPECT_EQ(answer, CUBLAS_STATUS_INVALID_VALUE) << text;
    EXPECT_THAT(text, HasSubstr(sentence));
  }
  std::vector<float> result() {
    std::vector<std::byte> bytes(static_cast<size_t>((m + kRoom) * n) * size_of(writes));
    EXPECT_EQ(cudaMemcpy(bytes.data(), d, bytes.size(), cudaMemcpyDeviceToHost), cudaSuccess);
    return floats_at(bytes.data(), writes, (m + kRoom) * n);
  }
  double wanted(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t l = 0; l < k; ++l)
      sum += double{a_values[static_cast<size_t>(turned_a ? l + i * k : i + l * m)]} *
             double{b_values[static_cast<size_t>(turned_b ? j + l * n : l + j * k)]};
    return sum;
  }

  DType reads = DType::f32, writes = DType::f32;
  bool turned_a = false, turned_b = false;
  std::vector<float> a_values, b_values, bias_values;
  void *a = nullptr, *b = nullptr, *d = nullptr, *bias = nullptr;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t la = nullptr, lb = nullptr, ld = nullptr;
};

TEST_F(EmulatedCublasLt, MultipliesWhatIsTransposedOfEachTypeAndLeavesTheRoomBetweenColumns) {
  for (const auto& [read, written] :
       {std::pair{DType::f32, DType::f32}, {DType::f16, DType::f16}, {DType::bf16, DType::bf16}, {DType::f16, DType::f32}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        start({});
        prepare(read, written, ta, tb);
        ASSERT_EQ(multiply(nullptr), CUBLAS_STATUS_SUCCESS);
        const std::vector<float> got = result();
        const double unit = written == DType::f16 ? 0x1p-11 : written == DType::bf16 ? 0x1p-8 : 0x1p-24;
        for (int64_t j = 0; j < n; ++j)
          for (int64_t i = 0; i < m + kRoom; ++i) {
            const double want = i < m ? wanted(i, j) : 0;
            ASSERT_NEAR(got[static_cast<size_t>(i + j * (m + kRoom))], want, std::abs(want) * unit * 1.01 + 9 * 0x1p-24);
          }
      }
}

TEST_F(EmulatedCublasLt, AddsABiasAndCutsOffBelowZeroBeforeItRounds) {
  prepare(DType::f16, DType::f16);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU_BIAS);
  expect_refused([&] { return multiply(nullptr); }, "CUBLASLT_MATMUL_DESC_BIAS_POINTER is not set");
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  ASSERT_EQ(multiply(nullptr), CUBLAS_STATUS_SUCCESS);
  const std::vector<float> got = result();
  int cut = 0;
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < m; ++i) {
      const double want = std::max(wanted(i, j) + bias_values[static_cast<size_t>(i)], 0.0);
      cut += want == 0;
      ASSERT_NEAR(got[static_cast<size_t>(i + j * (m + kRoom))], want, want * 0x1.03p-11 + 9 * 0x1p-24);
    }
  EXPECT_GT(cut, 0);
}

TEST_F(EmulatedCublasLt, RunsAsLateAsAKernelAndIsReplayed) {
  const cudaStream_t stream = make_stream(), other = make_stream();
  prepare();
  const auto first = [&](cudaStream_t on) {
    float value = 0;
    EXPECT_EQ(cudaMemcpyAsync(&value, d, 4, cudaMemcpyDeviceToHost, on), cudaSuccess);
    return value;
  };
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(multiply(nullptr, nullptr, 0, stream), CUBLAS_STATUS_SUCCESS);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(first(stream), 0);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(first(other), 0);  // an event is missing
  EXPECT_NEAR(first(stream), wanted(0, 0), 1e-5);
}

TEST_F(EmulatedCublasLt, WantsMatricesThatFit) {
  prepare();
  la = layout(DType::f32, m, k + 1);
  expect_refused([&] { return multiply(nullptr); }, "A 12x10 and B 9x5 do not give D 12x5");
  la = layout(DType::f32, m, k, m - 1);
  expect_refused([&] { return multiply(nullptr); }, "A has 12 rows and a leading dimension of 11");
  la = layout(DType::f32, m, k);
  a = static_cast<char*>(a) + 2;
  const auto only = suggested(0);
  ASSERT_EQ(only.size(), 1u);
  expect_refused([&] { return multiply(&only[0].algo); }, "of A is not aligned to 4 bytes");
  a = nullptr;
  expect_refused([&] { return multiply(nullptr); }, "the pointer of A is null");
  a = d;
  expect_refused([&] { return multiply(nullptr); }, "D and A share memory");
  const int wrong = 0;
  expect_refused([&] { return cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &wrong, sizeof wrong); },
                 "an attribute of 8 bytes was given 4");
  ASSERT_EQ(cublasLtMatrixLayoutDestroy(la), CUBLAS_STATUS_SUCCESS);
  expect_refused([&] { return multiply(nullptr); }, "was destroyed, or never created");
}

TEST_F(EmulatedCublasLt, SuggestsAlgorithmsThatKeepToThePreference) {
  prepare(DType::f16, DType::f16);
  const auto all = suggested(1 << 20);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(suggested(0).size(), 1u);
  EXPECT_EQ(suggested(1 << 20, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE).size(), 2u);
  // The first rounds partial sums to the type of the result; the second needs a workspace.
  void* workspace = nullptr;
  ASSERT_EQ(cudaMalloc(&workspace, all[1].workspaceSize), cudaSuccess);
  std::vector<float> results[3];
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(multiply(&all[i].algo, workspace, all[i].workspaceSize), CUBLAS_STATUS_SUCCESS);
    results[i] = result();
  }
  EXPECT_NE(results[0], results[2]);
  EXPECT_EQ(results[1], results[2]);
  expect_refused([&] { return multiply(&all[1].algo, workspace, all[1].workspaceSize - 1); },
                 "needs a workspace of 480 bytes and was given 479");
  expect_refused([&] { return multiply(&all[1].algo, b, 480); }, "the workspace and B share memory");
}

TEST_F(EmulatedCublasLt, ChecksAnAlgorithmThatCameFromElsewhere) {
  prepare();
  const auto all = suggested(1 << 20);
  cublasLtMatmulHeuristicResult_t checked{};
  EXPECT_EQ(cublasLtMatmulAlgoCheck(handle, operation, la, lb, ld, ld, &all[0].algo, &checked), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(checked.workspaceSize, all[0].workspaceSize);
  cublasLtMatmulAlgo_t changed = all[0].algo;
  changed.data[1] = 32;
  EXPECT_EQ(printed([&] {
              EXPECT_EQ(cublasLtMatmulAlgoCheck(handle, operation, la, lb, ld, ld, &changed, &checked), CUBLAS_STATUS_INVALID_VALUE);
            }),
            "");
  expect_refused([&] { return multiply(&changed); }, "none that cublasLtMatmulAlgoGetHeuristic gave");
}

TEST_F(EmulatedCublasLt, MakesNoHandleWhileAStreamCapturesAndFailsOnRequest) {
  start({.failures = {{"cublasLtMatmul", 2, cudaErrorUnknown, "CUBLAS_STATUS_EXECUTION_FAILED"}}});
  prepare();
  EXPECT_EQ(multiply(nullptr), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(nullptr), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_STREQ(cublasLtGetStatusString(CUBLAS_STATUS_EXECUTION_FAILED), "CUBLAS_STATUS_EXECUTION_FAILED");
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  cublasLtHandle_t another = nullptr;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  EXPECT_THAT(printed([&] { status = cublasLtCreate(&another); }), HasSubstr("while a stream captures"));
  EXPECT_EQ(status, CUBLAS_STATUS_NOT_INITIALIZED);
}

}  // namespace
}  // namespace mirilla::emulate
