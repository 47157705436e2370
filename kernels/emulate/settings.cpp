// SPDX-License-Identifier: MIT
#include "kernels/emulate/settings.h"

#include "kernels/core/error.h"
#include "kernels/emulate/errors.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace mirilla::emulate {

using ptx::u64;

namespace {

constexpr int kMostGpus = 16;

[[noreturn]] void not_understood(std::string_view name, std::string_view value, std::string_view wanted) {
  throw UsageError(fmt::format("{} is '{}' and should be {}", name, value, wanted));
}

std::optional<u64> number_in(std::string_view text) {
  u64 number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

u64 read_number(const char* name, std::string_view value, u64 least, u64 most) {
  const auto number = number_in(value);
  if (!number || *number < least || *number > most) not_understood(name, value, fmt::format("a number from {} to {}", least, most));
  return *number;
}

size_t read_bytes(const char* name, std::string_view value) {
  constexpr std::string_view kWanted = "a number of bytes such as 1073741824, 512M or 2G";
  const size_t unit = std::string_view("KMG").find(value.back());
  const auto number = number_in(unit == std::string_view::npos ? value : value.substr(0, value.size() - 1));
  const u64 shift = unit == std::string_view::npos ? 0 : 10 * (unit + 1);
  if (!number || *number == 0 || *number > std::numeric_limits<size_t>::max() >> shift) not_understood(name, value, kWanted);
  return static_cast<size_t>(*number) << shift;
}

// Calls f with each part between commas.
template <class F>
void each_part(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    f(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

// The calls that can go wrong in each way, between blanks; a call that gives a value back cannot be left out.
void check_mistake(const char* name, std::string_view part, const Mistake& mistake) {
  constexpr std::string_view kMemory = " cudaMalloc cudaMallocFromPoolAsync cudaMallocAsync ";
  constexpr std::string_view kCopies = " cudaMemcpyAsync cudaMemcpy cudaMemsetAsync cudaMemset ";
  constexpr std::string_view kOnStream =
      " cudaMemcpyAsync cudaMemsetAsync cudaLaunchKernel cudaGraphLaunch cudaStreamWaitEvent cudaEventRecord cudaEventRecordWithFlags"
      " cudaStreamSynchronize cudaFreeAsync cudnnSetStream cublasLtMatmul ";
  constexpr std::string_view kGiven =
      " CUDNN_ATTR_TENSOR_DIMENSIONS CUDNN_ATTR_TENSOR_STRIDES CUDNN_ATTR_TENSOR_DATA_TYPE CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT"
      " CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS CUDNN_ATTR_CONVOLUTION_POST_PADDINGS CUDNN_ATTR_CONVOLUTION_DILATIONS"
      " CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS CUDNN_ATTR_VARIANT_PACK_WORKSPACE"
      " CUBLASLT_MATMUL_DESC_TRANSA CUBLASLT_MATMUL_DESC_TRANSB CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES cublasLtMatrixLayoutCreate"
      " cublasLtMatmul ";
  constexpr std::string_view kDropped =
      " cudaMemcpyAsync cudaMemcpy cudaMemsetAsync cudaMemset cudaLaunchKernel cudaGraphLaunch cudaStreamWaitEvent cudaEventRecord"
      " cudaEventRecordWithFlags cudaStreamSynchronize cudaEventSynchronize cudaDeviceSynchronize cudaSetDevice cudaFuncSetAttribute"
      " cudaFree cudaFreeAsync cudaFreeHost cudaEventDestroy cudaStreamDestroy cudaGraphDestroy cudaGraphExecDestroy"
      " cudaMemPoolSetAttribute cudaMemPoolTrimTo cudaDeviceGraphMemTrim cudnnSetStream cudnnBackendExecute cublasLtMatmul ";
  const std::string_view calls = mistake.kind == Mistake::Kind::kDrop    ? kDropped
                                 : mistake.kind == Mistake::Kind::kStray ? kOnStream
                                 : mistake.kind == Mistake::Kind::kShort ? kCopies
                                 : mistake.kind == Mistake::Kind::kEarly ? kMemory
                                 : mistake.kind == Mistake::Kind::kAlter ? kGiven
                                                                         : "";
  if (!calls.empty() && calls.find(" " + mistake.call + " ") == std::string_view::npos)
    not_understood(name, part, fmt::format("KIND:CALL:N with one of these calls:{}", calls.substr(0, calls.size() - 1)));
}

Failure read_failure(std::string_view part) {
  constexpr const char* kName = "MIRILLA_EMULATE_FAIL";
  const size_t first = part.find(':'), second = part.find(':', first + 1);
  const std::string_view status = part.starts_with("cudnn") ? "CUDNN_STATUS_" : part.starts_with("cublasLt") ? "CUBLAS_STATUS_" : "";
  if (first == std::string_view::npos || second == std::string_view::npos || (status.empty() && !part.starts_with("cuda")))
    not_understood(kName, part, "CALL:N:ERROR, for example cudaGraphLaunch:3:outofmemory");
  Failure failure{.call = std::string(part.substr(0, first))};
  failure.number = read_number(kName, part.substr(first + 1, second - first - 1), 1, std::numeric_limits<u64>::max());
  if (!status.empty()) {  // which of them exist is known to the stand-in of the library
    failure.status = part.substr(second + 1);
    if (!failure.status.starts_with(status)) not_understood(kName, part, fmt::format("CALL:N:ERROR with one of the errors {}...", status));
    return failure;
  }
  const auto error = find_error(part.substr(second + 1));
  if (!error) not_understood(kName, part, "CALL:N:ERROR with one of CUDA's errors, for example outofmemory or illegaladdress");
  failure.error = *error;
  return failure;
}

void read_cards(Settings& settings, const char* name, std::string_view value) {
  each_part(value, [&](std::string_view part) { settings.each.push_back(&find_card(part)); });
  if (settings.each.empty() || settings.each.size() > kMostGpus)
    not_understood(name, value, fmt::format("one to {} cards, such as h200 or h200,a100", kMostGpus));
  settings.card = settings.each.front();
  settings.gpus = static_cast<int>(settings.each.size());
  if (settings.gpus == 1) settings.each.clear();
}

Mistake read_mistake(std::string_view part) {
  constexpr const char* kName = "MIRILLA_EMULATE_MISTAKE";
  constexpr std::array kKinds{std::pair{"drop", Mistake::Kind::kDrop},   std::pair{"stray", Mistake::Kind::kStray},
                              std::pair{"short", Mistake::Kind::kShort}, std::pair{"wait", Mistake::Kind::kWait},
                              std::pair{"early", Mistake::Kind::kEarly}, std::pair{"alter", Mistake::Kind::kAlter}};
  const size_t first = part.find(':'), second = part.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos)
    not_understood(kName, part, "KIND:CALL:N, for example drop:cudaStreamWaitEvent:3");
  Mistake mistake{.call = std::string(part.substr(first + 1, second - first - 1))};
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& one) { return one.first == part.substr(0, first); });
  if (kind == kKinds.end()) not_understood(kName, part, "KIND:CALL:N with drop, stray, short, wait, early or alter for KIND");
  mistake.kind = kind->second;
  check_mistake(kName, part, mistake);
  const std::string_view number = part.substr(second + 1);
  mistake.number = number == "all" ? 0 : read_number(kName, number, 1, std::numeric_limits<u64>::max());
  return mistake;
}

}  // namespace

Settings read_settings(const std::function<std::string(const char*)>& variable) {
  Settings settings;
  const auto read = [&](const char* name, auto f) {
    if (const std::string value = variable(name); !value.empty()) f(name, std::string_view(value));
  };
  read("MIRILLA_EMULATE", [&](const char* name, std::string_view value) { read_cards(settings, name, value); });
  settings.memory_bytes = settings.card->memory_bytes;
  read("MIRILLA_EMULATE_MULTIPROCESSORS", [&](const char* name, std::string_view value) {
    settings.multiprocessors = static_cast<int>(read_number(name, value, 1, static_cast<u64>(settings.card->multiprocessors)));
  });
  read("MIRILLA_EMULATE_MEMORY", [&](const char* name, std::string_view value) {
    settings.memory_bytes = read_bytes(name, value);
    settings.own_memory = true;
  });
  read("MIRILLA_EMULATE_GPUS", [&](const char* name, std::string_view value) {
    const int gpus = static_cast<int>(read_number(name, value, 1, kMostGpus));
    if (!settings.each.empty() && gpus != settings.gpus)
      not_understood(name, value, fmt::format("{}, the number of cards that MIRILLA_EMULATE names, or not set", settings.gpus));
    settings.gpus = gpus;
  });
  read("MIRILLA_EMULATE_SEED",
       [&](const char* name, std::string_view value) { settings.seed = read_number(name, value, 0, std::numeric_limits<u64>::max()); });
  read("MIRILLA_EMULATE_THREADS",
       [&](const char* name, std::string_view value) { settings.threads = static_cast<unsigned>(read_number(name, value, 1, 1024)); });
  read("MIRILLA_EMULATE_DETECT", [&](const char* name, std::string_view value) {
    each_part(value, [&](std::string_view part) {
      bool* const one = part == "races"       ? &settings.detect.races
                        : part == "unwritten" ? &settings.detect.unwritten
                        : part == "constant"  ? &settings.detect.constant
                                              : nullptr;
      if (!one) not_understood(name, part, "races, unwritten or constant");
      *one = true;
    });
  });
  read("MIRILLA_EMULATE_REPORT", [&](const char* name, std::string_view value) {
    each_part(value, [&](std::string_view part) {
      constexpr std::string_view kCoverage = "coverage:";
      if (part.starts_with(kCoverage) && part.size() > kCoverage.size()) {
        settings.coverage = part.substr(kCoverage.size());
        return;
      }
      bool* const one = part == "summary" ? &settings.summary
                        : part == "calls" ? &settings.calls
                        : part == "count" ? &settings.count
                                          : nullptr;
      if (!one) not_understood(name, part, "summary, calls, count or coverage:FILE");
      *one = true;
    });
  });
  read("MIRILLA_EMULATE_PTX", [&](const char*, std::string_view value) { settings.ptx_folder = value; });
  read("MIRILLA_EMULATE_MISTAKE", [&](const char*, std::string_view value) {
    each_part(value, [&](std::string_view part) { settings.mistakes.push_back(read_mistake(part)); });
  });
  read("MIRILLA_EMULATE_FAIL", [&](const char*, std::string_view value) {
    each_part(value, [&](std::string_view part) { settings.failures.push_back(read_failure(part)); });
  });
  return settings;
}

}  // namespace mirilla::emulate
