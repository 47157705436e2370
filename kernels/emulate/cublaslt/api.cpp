// SPDX-License-Identifier: MIT
// cuBLASLt's functions, as far as kernels/cuda/vendor calls them.
#include "kernels/emulate/cublaslt/matmul.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <set>

namespace mirilla::emulate::cublaslt {

namespace {

struct Named {
  cublasStatus_t status;
  const char* name;
};
constexpr Named kStatuses[]{{CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS"},
                            {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED"},
                            {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED"},
                            {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE"},
                            {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH"},
                            {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR"},
                            {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED"},
                            {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR"},
                            {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED"},
                            {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR"}};

std::optional<cublasStatus_t> find_status(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kStatuses), std::end(kStatuses), [&](const Named& one) { return one.name == name; });
  return found == std::end(kStatuses) ? std::nullopt : std::optional(found->status);
}

constexpr Answers<cublasStatus_t> kAnswers{CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_ALLOC_FAILED, find_status};

template <class F>
cublasStatus_t call(const char* name, F f) {
  static thread_local std::string last;
  return library_call(kAnswers, last, name, f);
}

struct Context {
  int device = 0;
};

// The objects of one kind that exist. Never destroyed: static objects of a program may free theirs last.
template <class T>
std::set<const void*>& living() {
  static auto& all = *std::make_unique<std::set<const void*>>().release();
  return all;
}

template <class T, class Handle>
void create(Handle* handle, T value) {
  if (!handle) throw Refusal{CUBLAS_STATUS_INVALID_VALUE, "the address for the new object is null"};
  T* const made = std::make_unique<T>(std::move(value)).release();
  living<T>().insert(made);
  *handle = reinterpret_cast<Handle>(made);
}

template <class T, class Handle>
T& as(Handle handle) {
  if (!living<T>().contains(handle))
    throw Refusal{CUBLAS_STATUS_INVALID_VALUE, "an object was passed that was destroyed, or never created"};
  return *reinterpret_cast<T*>(handle);
}

template <class T, class Handle>
void destroy(Handle handle) {
  const std::unique_ptr<T> owned(&as<T>(handle));
  living<T>().erase(owned.get());
}

template <class T>
void take(T& field, const void* value, size_t bytes) {
  if (!value || bytes != sizeof field)
    throw Refusal{CUBLAS_STATUS_INVALID_VALUE, fmt::format("an attribute of {} bytes was given {}", sizeof field, value ? bytes : 0)};
  std::memcpy(&field, value, sizeof field);
}

void take_transpose(cublasOperation_t& field, const void* value, size_t bytes, const char* name) {
  take(field, value, bytes);
  if (runtime().altered(name)) field = field == CUBLAS_OP_N ? CUBLAS_OP_T : CUBLAS_OP_N;
}

[[noreturn]] void unknown(const char* what, int attribute) {
  throw Refusal{CUBLAS_STATUS_NOT_SUPPORTED, fmt::format("attribute {} of {} is not emulated", attribute, what)};
}

void set(Operation& operation, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return take_transpose(operation.transpose_a, value, bytes, "CUBLASLT_MATMUL_DESC_TRANSA");
    case CUBLASLT_MATMUL_DESC_TRANSB: return take_transpose(operation.transpose_b, value, bytes, "CUBLASLT_MATMUL_DESC_TRANSB");
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(operation.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(operation.bias, value, bytes);
    default: unknown("an operation", attribute);
  }
}

void set(Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      take(preference.workspace_bytes, value, bytes);
      if (runtime().altered("CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES")) preference.workspace_bytes = uint64_t{1} << 40;
      return;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return take(preference.reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return take(preference.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return take(preference.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return take(preference.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return take(preference.alignment[3], value, bytes);
    default: unknown("a preference", attribute);
  }
}

Request request_of(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                   cublasLtMatrixLayout_t d) {
  return {as<Operation>(operation), as<Layout>(a), as<Layout>(b), as<Layout>(c), as<Layout>(d)};
}

cublasLtMatmulHeuristicResult_t result_of(const Request& request, const Algorithm& algorithm) {
  cublasLtMatmulHeuristicResult_t result{};
  result.algo = algorithm.packed();
  result.workspaceSize = workspace_of(request, algorithm);
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 1;
  return result;
}

void create_handle(cublasLtHandle_t* handle, Runtime& r) {
  if (r.device().broken != cudaSuccess) throw Refusal{CUBLAS_STATUS_NOT_INITIALIZED, "the GPU has failed before", false};
  if (refuse_unsafe(r) != cudaSuccess)
    throw Refusal{CUBLAS_STATUS_NOT_INITIALIZED, "it takes memory, which CUDA forbids while a stream captures"};
  create(handle, Context{Runtime::current()});
}

float number_at(const void* address, const char* name) {
  if (!address) throw Refusal{CUBLAS_STATUS_INVALID_VALUE, fmt::format("the address of {} is null", name)};
  float value = 0;
  std::memcpy(&value, address, sizeof value);
  return value;
}

}  // namespace

extern "C" {

size_t CUBLASWINAPI cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* CUBLASWINAPI cublasLtGetStatusString(cublasStatus_t status) {
  const auto* const found =
      std::find_if(std::begin(kStatuses), std::end(kStatuses), [&](const Named& one) { return one.status == status; });
  return found == std::end(kStatuses) ? "unknown status" : found->name;
}

cublasStatus_t CUBLASWINAPI cublasLtCreate(cublasLtHandle_t* handle) {
  return call("cublasLtCreate", [&](Runtime& r) { create_handle(handle, r); });
}
cublasStatus_t CUBLASWINAPI cublasLtDestroy(cublasLtHandle_t handle) {
  return call("cublasLtDestroy", [&](Runtime&) { destroy<Context>(handle); });
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute, cudaDataType_t scale) {
  return call("cublasLtMatmulDescCreate", [&](Runtime&) { create(operation, Operation{.compute = compute, .scale = scale}); });
}
cublasStatus_t CUBLASWINAPI cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return call("cublasLtMatmulDescDestroy", [&](Runtime&) { destroy<Operation>(operation); });
}
cublasStatus_t CUBLASWINAPI cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                                           const void* value, size_t bytes) {
  return call("cublasLtMatmulDescSetAttribute", [&](Runtime&) { set(as<Operation>(operation), attribute, value, bytes); });
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns,
                                                       int64_t leading) {
  return call("cublasLtMatrixLayoutCreate", [&](Runtime& r) {
    if (r.altered("cublasLtMatrixLayoutCreate")) leading *= 2;
    create(layout, Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading});
  });
}
cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return call("cublasLtMatrixLayoutDestroy", [&](Runtime&) { destroy<Layout>(layout); });
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return call("cublasLtMatmulPreferenceCreate", [&](Runtime&) { create(preference, Preference{}); });
}
cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return call("cublasLtMatmulPreferenceDestroy", [&](Runtime&) { destroy<Preference>(preference); });
}
cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                                 cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                                 size_t bytes) {
  return call("cublasLtMatmulPreferenceSetAttribute", [&](Runtime&) { set(as<Preference>(preference), attribute, value, bytes); });
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                                           cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                                           cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
                                                           cublasLtMatmulHeuristicResult_t results[], int* count) {
  return call("cublasLtMatmulAlgoGetHeuristic", [&](Runtime&) {
    if (!results || !count || wanted < 1) throw Refusal{CUBLAS_STATUS_INVALID_VALUE, "there is no room for an answer"};
    *count = 0;
    static_cast<void>(as<Context>(handle));
    const Request request = request_of(operation, a, b, c, d);
    check(request);
    for (const Algorithm& algorithm : suggestions(request, as<Preference>(preference)))
      if (*count < wanted) results[(*count)++] = result_of(request, algorithm);
    if (*count == 0) throw Refusal{CUBLAS_STATUS_NOT_SUPPORTED, "no algorithm needs as little workspace", false};
  });
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                                    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                    const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  return call("cublasLtMatmulAlgoCheck", [&](Runtime&) {
    if (!algorithm || !result) throw Refusal{CUBLAS_STATUS_INVALID_VALUE, "the algorithm or the room for an answer is null"};
    static_cast<void>(as<Context>(handle));
    const Request request = request_of(operation, a, b, c, d);
    check(request);
    try {
      *result = result_of(request, unpack(*algorithm));
    } catch (Refusal& refused) {
      refused.misuse = false;  // that is the question
      throw;
    }
  });
}

cublasStatus_t CUBLASWINAPI cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                                           cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                                           const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                                           cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                                           size_t workspace_bytes, cudaStream_t stream) {
  return call("cublasLtMatmul", [&](Runtime& r) {
    const Context& context = as<Context>(handle);
    if (Runtime::current() != context.device)
      throw Refusal{CUBLAS_STATUS_INVALID_VALUE,
                    fmt::format("the handle is of GPU {}, and GPU {} is the thread's", context.device, Runtime::current())};
    const Request request = request_of(operation, a_layout, b_layout, c_layout, d_layout);
    const auto found = r.stream(stream);
    if (!found || found->device != context.device)
      throw Refusal{CUBLAS_STATUS_INVALID_VALUE, "the stream was destroyed, or is of another GPU"};
    if (r.altered("cublasLtMatmul")) d = static_cast<std::byte*>(d) + 16;
    multiply(r, request, algorithm ? unpack(*algorithm) : Algorithm{}, number_at(alpha, "alpha"), number_at(beta, "beta"),
             {a, b, c, d, workspace, workspace_bytes}, r.mistake == Mistake::Kind::kStray ? found.get() : stream);
  });
}

}  // extern "C"

}  // namespace mirilla::emulate::cublaslt
