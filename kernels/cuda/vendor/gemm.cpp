// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/gemm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {

namespace {

constexpr int kGuesses = 8;  // of cuBLASLt to time, best first
constexpr int kRuns = 5;

cudaDataType_t data_type(DType dtype) { return dtype == DType::f16 ? CUDA_R_16F : dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasLtEpilogue_t epilogue_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::relu: return CUBLASLT_EPILOGUE_RELU;
    case Epilogue::bias: return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::relu_bias: return CUBLASLT_EPILOGUE_RELU_BIAS;
    default: return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

bool adds_bias(Epilogue epilogue) { return epilogue == Epilogue::bias || epilogue == Epilogue::relu_bias; }

// A plan is the library's 64 opaque bytes and the workspace they need: hexadecimal words, the workspace last.
constexpr size_t kWords = std::size(cublasLtMatmulAlgo_t{}.data);

std::string text_of(const cublasLtMatmulHeuristicResult_t& choice) {
  std::string text;
  for (const uint64_t word : choice.algo.data) text += fmt::format("{:016x} ", word);
  return text + fmt::format("{:x}", choice.workspaceSize);
}

// False where the text was not written by text_of.
bool read_plan(const std::string& text, cublasLtMatmulHeuristicResult_t& choice) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto next = [&](auto& word) {
    const auto [after, error] = std::from_chars(at, end, word, 16);
    if (error != std::errc()) return false;
    at = after < end && *after == ' ' ? after + 1 : after;
    return true;
  };
  for (size_t i = 0; i < kWords; ++i)
    if (!next(choice.algo.data[i])) return false;
  uint64_t workspace = 0;
  if (!next(workspace) || at != end) return false;
  choice.workspaceSize = workspace;
  return true;
}

}  // namespace

// cuBLAS stores matrices by columns, so it sees each row-major matrix transposed, and is asked for
//
//   y' (N,M) = op(b)' op(a)'
//
// where a dash marks the same memory read column by column: its A is our b, its B is our a, and each is transposed where ours is. A
// row-major matrix of R rows and C columns is, to it, one of C rows, R columns and a leading dimension of C. A bias has one element per row
// of y', which is a column of y.
struct Gemm::Prepared {
  // Of nothing yet. The other constructor begins here, so that what it made is destroyed where it fails.
  explicit Prepared(const CublasLt& from) : library(from) {}
  Prepared(const CublasLt& from, const Product& of) : Prepared(from) {
    product = of;
    purpose = "compute " + to_string(of);
    check(library.operation_create(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_TRANSA, of.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, of.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(of.epilogue));
    b = layout(of.operands, of.transpose_b ? of.n : of.k, of.transpose_b ? of.k : of.n);
    a = layout(of.operands, of.transpose_a ? of.k : of.m, of.transpose_a ? of.m : of.k);
    y = layout(of.result, of.m, of.n);
  }
  ~Prepared() {
    for (const cublasLtMatrixLayout_t matrix : {a, b, y})
      if (matrix) static_cast<void>(library.layout_destroy(matrix));
    if (operation) static_cast<void>(library.operation_destroy(operation));
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  void check(cublasStatus_t status, std::string_view call) const { library.check(status, call, purpose); }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) const {
    check(library.operation_set(operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }

  cublasLtMatrixLayout_t layout(DType dtype, int64_t rows, int64_t columns) const {
    cublasLtMatrixLayout_t made = nullptr;
    check(library.layout_create(&made, data_type(dtype), static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), columns),
          "cublasLtMatrixLayoutCreate");
    return made;
  }

  const CublasLt& library;
  Product product;
  std::string purpose;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, y = nullptr;
  cublasLtMatmulHeuristicResult_t choice{};
  enum class State { unknown, guessed, chosen, none } state = State::unknown;
};

Gemm::Gemm(const CublasLt& library, PlanStore& plans, GemmTools& tools, const Options& options)
    : library_(library),
      plans_(plans),
      tools_(tools),
      most_workspace_(std::min(options.workspace_bytes, kMostProductWorkspace)),
      deterministic_(options.deterministic) {
  library_.check(library_.create(&handle_), "cublasLtCreate", "begin to use cuBLASLt");
}

Gemm::~Gemm() {
  prepared_.clear();
  static_cast<void>(library_.destroy(handle_));
}

// Best first; empty where it has no algorithm for the product.
std::vector<cublasLtMatmulHeuristicResult_t> Gemm::guesses(const Prepared& p) {
  cublasLtMatmulPreference_t preference = nullptr;
  p.check(library_.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
  const auto destroy = [&](cublasLtMatmulPreference_t made) { static_cast<void>(library_.preference_destroy(made)); };
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(destroy)> owner(preference, destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    p.check(library_.preference_set(preference, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(most_workspace_));
  // Without this, partial sums could be rounded to halves and the result would be rounded twice.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(attribute, static_cast<uint32_t>(p.product.alignment));
  std::vector<cublasLtMatmulHeuristicResult_t> found(kGuesses);
  int count = 0;
  const cublasStatus_t status = library_.heuristic(handle_, p.operation, p.b, p.a, p.y, p.y, preference, kGuesses, found.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  p.check(status, "cublasLtMatmulAlgoGetHeuristic");
  found.resize(static_cast<size_t>(std::clamp(count, 0, kGuesses)));
  std::erase_if(found, [&](const auto& guess) { return guess.state != CUBLAS_STATUS_SUCCESS || guess.workspaceSize > most_workspace_; });
  return found;
}

Gemm::Prepared& Gemm::prepare(const Product& product) {
  std::unique_ptr<Prepared>& prepared = prepared_[product];
  if (!prepared) prepared = std::make_unique<Prepared>(library_, product);
  return *prepared;
}

cublasStatus_t Gemm::start(const Prepared& p, const ProductBuffers& buffers, const cublasLtMatmulHeuristicResult_t& choice) {
  if (adds_bias(p.product.epilogue)) p.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, buffers.bias);
  const float one = 1, zero = 0;
  void* const workspace = tools_.workspace(choice.workspaceSize);
  return library_.matmul(handle_, p.operation, &one, buffers.b, p.b, buffers.a, p.a, &zero, buffers.y, p.y, buffers.y, p.y, &choice.algo,
                         workspace, choice.workspaceSize, tools_.stream());
}

// The library checks whether the bytes from a file are an algorithm for this product.
bool Gemm::take_stored(Prepared& p) {
  const auto stored = plans_.find(to_string(p.product));
  cublasLtMatmulHeuristicResult_t choice{}, checked{};
  if (!stored || !read_plan(stored->text, choice)) return false;
  if (library_.check_algorithm(handle_, p.operation, p.b, p.a, p.y, p.y, &choice.algo, &checked) != CUBLAS_STATUS_SUCCESS) return false;
  choice.workspaceSize = std::max(choice.workspaceSize, checked.workspaceSize);
  if (choice.workspaceSize > most_workspace_) return false;
  p.choice = choice;
  p.state = Prepared::State::chosen;
  return true;
}

bool Gemm::choose(Prepared& p, const ProductBuffers& buffers) {
  if (p.state == Prepared::State::unknown && take_stored(p)) return true;
  const std::vector<cublasLtMatmulHeuristicResult_t> found = guesses(p);
  if (found.empty()) {
    p.state = Prepared::State::none;
    return false;
  }
  p.choice = found.front();
  p.state = Prepared::State::guessed;
  if (tools_.recording()) return true;
  if (deterministic_) {
    p.state = Prepared::State::chosen;
    return true;
  }
  double best = std::numeric_limits<double>::infinity();
  for (const auto& guess : found) {
    if (start(p, buffers, guess) != CUBLAS_STATUS_SUCCESS) continue;  // this also warms up: kernels are loaded at their first run
    const double milliseconds = tools_.milliseconds([&] {
      for (int i = 0; i < kRuns; ++i) p.check(start(p, buffers, guess), "cublasLtMatmul");
    });
    if (milliseconds < best) {
      best = milliseconds;
      p.choice = guess;
    }
  }
  p.state = Prepared::State::chosen;
  if (std::isfinite(best)) plans_.put(to_string(p.product), {text_of(p.choice), best / kRuns});
  return true;
}

bool Gemm::run(const Product& product, const ProductBuffers& buffers) {
  const std::lock_guard lock(mutex_);
  Prepared& p = prepare(product);
  const bool open = p.state == Prepared::State::unknown || (p.state == Prepared::State::guessed && !tools_.recording());
  if (p.state == Prepared::State::none || (open && !choose(p, buffers))) return false;
  p.check(start(p, buffers, p.choice), "cublasLtMatmul");
  return true;
}

}  // namespace mirilla::cuda::vendor
