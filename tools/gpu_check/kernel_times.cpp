// SPDX-License-Identifier: MIT
// CUPTI without its header: four functions, and the three fields of a kernel's record that have had the same offset from CUDA 9's
// CUpti_ActivityKernel4 to CUDA 13's CUpti_ActivityKernel10.
#include "tools/gpu_check/kernel_times.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/core/error.h"

namespace mirilla::gpu_check {
namespace {

constexpr uint32_t kConcurrentKernel = 10;  // CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL
constexpr uint32_t kForced = 1;             // CUPTI_ACTIVITY_FLAG_FLUSH_FORCED
constexpr size_t kStart = 16, kEnd = 24, kName = 104;
constexpr size_t kBufferBytes = size_t{1} << 20, kAlignment = 8;

using Request = void (*)(uint8_t** buffer, size_t* bytes, size_t* most_records);
using Complete = void (*)(void* context, uint32_t stream, uint8_t* buffer, size_t bytes, size_t valid);

struct Cupti {
  int (*activityRegisterCallbacks)(Request, Complete) = nullptr;
  int (*activityEnable)(uint32_t kind) = nullptr;
  int (*activityFlushAll)(uint32_t flag) = nullptr;
  int (*activityGetNextRecord)(uint8_t* buffer, size_t valid, uint8_t** record) = nullptr;
  int (*getResultString)(int result, const char** text) = nullptr;
};

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) throw DeviceError(fmt::format("CUPTI was found, but it has no {}", name), "use the CUPTI of CUDA 12 or 13");
}

Cupti open_cupti() {
  void* library = nullptr;
  for (const char* file : {"libcupti.so.13", "libcupti.so.12", "libcupti.so", "/usr/local/cuda/lib64/libcupti.so",
                           "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so"})
    if (!library) library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw DeviceError("CUPTI, which records kernels' times, was not found", "it comes with the CUDA toolkit and with PyTorch's wheels");
  Cupti cupti;
  find(library, "cuptiActivityRegisterCallbacks", cupti.activityRegisterCallbacks);
  find(library, "cuptiActivityEnable", cupti.activityEnable);
  find(library, "cuptiActivityFlushAll", cupti.activityFlushAll);
  find(library, "cuptiActivityGetNextRecord", cupti.activityGetNextRecord);
  find(library, "cuptiGetResultString", cupti.getResultString);
  return cupti;
}

const Cupti& cupti() {
  static const Cupti opened = open_cupti();
  return opened;
}

void check(int result, const char* what) {
  if (result == 0) return;
  const char* text = nullptr;
  cupti().getResultString(result, &text);
  throw DeviceError(fmt::format("CUPTI cannot record: {} says {}", what, text ? text : std::to_string(result)));
}

// Filled by a thread of CUPTI.
struct Recorded {
  std::mutex mutex;
  std::map<std::string, KernelTime> times;
};
Recorded& recorded() {
  static Recorded all;
  return all;
}

void give_buffer(uint8_t** buffer, size_t* bytes, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(kAlignment, kBufferBytes));
  *bytes = *buffer ? kBufferBytes : 0;
  *most_records = 0;
}

std::string readable(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}

void take_buffer(void*, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(recorded().mutex);
  uint8_t* record = nullptr;
  while (valid > 0 && cupti().activityGetNextRecord(buffer, valid, &record) == 0) {
    uint32_t kind = 0;
    uint64_t start = 0, end = 0;
    const char* name = nullptr;
    std::memcpy(&kind, record, sizeof kind);
    if (kind != kConcurrentKernel) continue;
    std::memcpy(&start, record + kStart, sizeof start);
    std::memcpy(&end, record + kEnd, sizeof end);
    std::memcpy(&name, record + kName, sizeof name);
    if (!name || end < start) continue;
    KernelTime& time = recorded().times[name];
    ++time.calls;
    time.ms += 1e-6 * static_cast<double>(end - start);
  }
  std::free(buffer);
}

}  // namespace

KernelRecorder::KernelRecorder() {
  check(cupti().activityRegisterCallbacks(give_buffer, take_buffer), "cuptiActivityRegisterCallbacks");
  check(cupti().activityEnable(kConcurrentKernel), "cuptiActivityEnable");
}

std::vector<KernelTime> KernelRecorder::take() {
  check(cupti().activityFlushAll(kForced), "cuptiActivityFlushAll");
  const std::lock_guard lock(recorded().mutex);
  std::vector<KernelTime> all;
  for (auto& [name, time] : recorded().times) {
    time.kernel = readable(name.c_str());
    all.push_back(std::move(time));
  }
  recorded().times.clear();
  std::ranges::sort(all, std::greater(), &KernelTime::ms);
  return all;
}

}  // namespace mirilla::gpu_check
