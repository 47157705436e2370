// SPDX-License-Identifier: MIT
#include "kernels/emulate/cublaslt/matmul.h"

#include "kernels/emulate/errors.h"
#include "kernels/emulate/library/loops.h"
#include "kernels/emulate/library/work.h"

#include <algorithm>

namespace mirilla::emulate::cublaslt {

namespace {

constexpr uint64_t kMark = 0x6d6972696c6c61;  // what makes 64 bytes an algorithm
constexpr uintptr_t kWorkspaceAlignment = 16;
constexpr uint64_t kElementAlignment = 4;

[[noreturn]] void bad(std::string sentence) { throw Refusal{CUBLAS_STATUS_INVALID_VALUE, std::move(sentence)}; }
[[noreturn]] void unsupported(std::string sentence) { throw Refusal{CUBLAS_STATUS_NOT_SUPPORTED, std::move(sentence), false}; }

DType dtype_of(cudaDataType_t type) {
  switch (type) {
    case CUDA_R_32F: return DType::f32;
    case CUDA_R_16F: return DType::f16;
    case CUDA_R_16BF: return DType::bf16;
    default: unsupported(fmt::format("matrices of type {} are not emulated", static_cast<int>(type)));
  }
}

std::string text_of(const Layout& layout, cublasOperation_t operation) {
  return fmt::format("{}x{}{}", layout.rows, layout.columns, operation == CUBLAS_OP_N ? "" : " transposed");
}

void check_layout(const char* name, const Layout& layout) {
  if (layout.rows < 1 || layout.columns < 1) bad(fmt::format("{} has {} rows and {} columns", name, layout.rows, layout.columns));
  if (layout.leading < layout.rows)
    bad(fmt::format("{} has {} rows and a leading dimension of {}: at least its rows were expected", name, layout.rows, layout.leading));
}

// The columns of op(M), dense.
std::vector<float> columns_of(const void* address, const Layout& layout, bool transposed) {
  const std::vector<float> all = floats_at(address, dtype_of(layout.type), layout.span());
  std::vector<float> dense;
  dense.reserve(static_cast<size_t>(layout.rows * layout.columns));
  const int64_t rows = transposed ? layout.columns : layout.rows, columns = transposed ? layout.rows : layout.columns;
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i)
      dense.push_back(all[static_cast<size_t>(transposed ? j + i * layout.leading : i + j * layout.leading)]);
  }
  return dense;
}

std::vector<float> sums_of(const Request& request, const Algorithm& algorithm, const Addresses& at) {
  const int64_t m = request.d.rows, n = request.d.columns, k = request.depth();
  const std::vector<float> a = columns_of(at.a, request.a, request.operation.transpose_a != CUBLAS_OP_N);
  std::vector<float> b = columns_of(at.b, request.b, request.operation.transpose_b != CUBLAS_OP_N);
  if (algorithm.number != Algorithm::kSplitInResult) return product(m, n, k, a.data(), b.data());
  // Two halves of the depth, each rounded to the result's type.
  const int64_t half = k / 2;
  std::vector<float> rest = b;
  for (int64_t i = 0; i < n * k; ++i) (i % k < half ? rest : b)[static_cast<size_t>(i)] = 0;
  std::vector<float> first = product(m, n, k, a.data(), b.data());
  std::vector<float> second = product(m, n, k, a.data(), rest.data());
  round_to(dtype_of(request.d.type), first);
  round_to(dtype_of(request.d.type), second);
  for (size_t i = 0; i < first.size(); ++i) first[i] += second[i];
  return first;
}

void compute(const Request& request, const Algorithm& algorithm, float alpha, float beta, const Addresses& at) {
  std::vector<float> sums = sums_of(request, algorithm, at);
  const DType dtype = dtype_of(request.d.type);
  const std::vector<float> before = beta == 0 ? std::vector<float>() : columns_of(at.c, request.c, false);
  const std::vector<float> bias =
      request.operation.adds_bias() ? floats_at(request.operation.bias, dtype, request.d.rows) : std::vector<float>();
  const auto rows = static_cast<size_t>(request.d.rows);
  for (size_t i = 0; i < sums.size(); ++i) {
    float value = alpha * sums[i];
    if (!before.empty()) value += beta * before[i];
    if (!bias.empty()) value += bias[i % rows];
    sums[i] = request.operation.has_relu() && value <= 0 ? 0 : value;  // NaN passes
  }
  auto* const d = static_cast<std::byte*>(at.d);
  for (int64_t j = 0; j < request.d.columns; ++j)
    store_floats({sums.data() + static_cast<size_t>(j) * rows, rows}, d + static_cast<size_t>(j * request.d.leading) * size_of(dtype),
                 dtype);
}

void check_addresses(const Request& request, const Algorithm& algorithm, float beta, const Addresses& at) {
  const auto check_one = [&](const char* name, const void* address) {
    if (!address) bad(fmt::format("the pointer of {} is null", name));
    if (reinterpret_cast<uintptr_t>(address) % algorithm.alignment != 0)
      bad(fmt::format("the pointer {} of {} is not aligned to {} bytes, for which the algorithm was chosen", address, name,
                      algorithm.alignment));
  };
  check_one("A", at.a);
  check_one("B", at.b);
  check_one("D", at.d);
  if (beta != 0) check_one("C", at.c);
  if (request.operation.adds_bias() && !request.operation.bias)
    bad("the epilogue adds a bias, and CUBLASLT_MATMUL_DESC_BIAS_POINTER is not set");
  const size_t needed = workspace_of(request, algorithm);
  if (needed == 0) return;
  if (!at.workspace || at.workspace_bytes < needed)
    bad(fmt::format("the algorithm needs a workspace of {} bytes and was given {}", needed, at.workspace ? at.workspace_bytes : 0));
  if (reinterpret_cast<uintptr_t>(at.workspace) % kWorkspaceAlignment != 0)
    bad(fmt::format("the workspace {} is not aligned to {} bytes", at.workspace, kWorkspaceAlignment));
}

}  // namespace

cublasLtMatmulAlgo_t Algorithm::packed() const {
  cublasLtMatmulAlgo_t bytes{};
  bytes.data[0] = number;
  bytes.data[1] = alignment;
  bytes.data[7] = kMark ^ number ^ alignment << 8;
  return bytes;
}

Algorithm unpack(const cublasLtMatmulAlgo_t& packed) {
  const Algorithm algorithm{packed.data[0], packed.data[1]};
  const cublasLtMatmulAlgo_t expected = algorithm.packed();
  const bool known = algorithm.number >= Algorithm::kWhole && algorithm.number <= Algorithm::kSplitInResult && algorithm.alignment != 0;
  if (!known || !std::equal(std::begin(expected.data), std::end(expected.data), std::begin(packed.data)))
    bad("the algorithm is none that cublasLtMatmulAlgoGetHeuristic gave");
  return algorithm;
}

void check(const Request& request) {
  const Operation& operation = request.operation;
  check_layout("A", request.a);
  check_layout("B", request.b);
  check_layout("C", request.c);
  check_layout("D", request.d);
  const bool na = operation.transpose_a == CUBLAS_OP_N, nb = operation.transpose_b == CUBLAS_OP_N;
  const int64_t rows = na ? request.a.rows : request.a.columns, columns = nb ? request.b.columns : request.b.rows;
  const int64_t depth = nb ? request.b.rows : request.b.columns;
  if (rows != request.d.rows || columns != request.d.columns || depth != request.depth())
    bad(fmt::format("A {} and B {} do not give D {}", text_of(request.a, operation.transpose_a), text_of(request.b, operation.transpose_b),
                    text_of(request.d, CUBLAS_OP_N)));
  if (request.c.rows != request.d.rows || request.c.columns != request.d.columns || request.c.type != request.d.type)
    bad("C and D have different sizes or types");
  if (operation.compute != CUBLAS_COMPUTE_32F || operation.scale != CUDA_R_32F) unsupported("sums are emulated in f32 only");
  const DType read = dtype_of(request.a.type), written = dtype_of(request.d.type);
  if (request.b.type != request.a.type) unsupported("A and B have different types");
  if (written != read && written != DType::f32) unsupported("the result has neither the type of A and B nor f32");
}

size_t workspace_of(const Request& request, const Algorithm& algorithm) {
  if (algorithm.number == Algorithm::kWhole) return 0;
  const size_t element = algorithm.number == Algorithm::kSplit ? sizeof(float) : size_of(dtype_of(request.d.type));
  return 2 * static_cast<size_t>(request.d.rows * request.d.columns) * element;
}

std::vector<Algorithm> suggestions(const Request& request, const Preference& preference) {
  const uint64_t alignment = std::min({preference.alignment[0], preference.alignment[1], preference.alignment[2], preference.alignment[3]});
  std::vector<Algorithm> all;
  // An algorithm that loads whole vectors wants to know that it may.
  const uint64_t vectors = alignment >= 16 ? 16 : std::max(alignment, uint64_t{1});
  const bool is_deep = request.depth() >= 2;
  if (is_deep && (preference.reductions & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)) all.push_back({Algorithm::kSplitInResult, vectors});
  if (is_deep && (preference.reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)) all.push_back({Algorithm::kSplit, vectors});
  all.push_back({Algorithm::kWhole, std::min(vectors, kElementAlignment)});
  std::erase_if(all, [&](const Algorithm& one) { return workspace_of(request, one) > preference.workspace_bytes; });
  return all;
}

void multiply(Runtime& r, const Request& request, const Algorithm& algorithm, float alpha, float beta, const Addresses& at,
              cudaStream_t stream) {
  check(request);
  check_addresses(request, algorithm, beta, at);
  const auto bytes = [](const Layout& layout) { return static_cast<size_t>(layout.span()) * size_of(dtype_of(layout.type)); };
  const auto operand = [](const char* name, const void* address, size_t size) { return Operand{name, const_cast<void*>(address), size}; };
  LibraryWork work{.call = "cublasLtMatmul",
                   .reads = {operand("A", at.a, bytes(request.a)), operand("B", at.b, bytes(request.b))},
                   .writes = {operand("D", at.d, bytes(request.d))},
                   .workspace = {"the workspace", at.workspace, workspace_of(request, algorithm)}};
  if (request.operation.adds_bias())
    work.reads.push_back(
        operand("the bias", request.operation.bias, static_cast<size_t>(request.d.rows) * size_of(dtype_of(request.d.type))));
  if (std::string overlap = overlap_in(work); !overlap.empty()) bad(std::move(overlap));
  if (beta != 0) work.reads.push_back(operand("C", at.c, bytes(request.c)));  // which may be D
  work.compute = [request, algorithm, alpha, beta, at] { compute(request, algorithm, alpha, beta, at); };
  if (const cudaError_t refused = enqueue(r, stream, std::move(work)); refused != cudaSuccess)
    throw Refusal{CUBLAS_STATUS_EXECUTION_FAILED, fmt::format("the stream takes no work: {}", emulate::text_of(refused)), false};
}

}  // namespace mirilla::emulate::cublaslt
