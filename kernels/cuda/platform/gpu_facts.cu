// SPDX-License-Identifier: MIT
// Which GPUs exist.
#include <array>
#include <cstdlib>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/platform/driver_answer.h"
#include "kernels/cuda/platform/gpu.h"
#include "kernels/cuda/vendor/versions.h"

namespace mirilla::cuda {

namespace {

// CMake says which architectures were built; where it left that to nvcc ("native"), nvcc says it.
const std::vector<BuiltArchitecture>& built() {
  static const std::vector<BuiltArchitecture> all = [] {
    std::vector<BuiltArchitecture> named = built_architectures(MIRILLA_BUILT_FOR);
    if (!named.empty()) return named;
    for (const int architecture : std::array{__CUDA_ARCH_LIST__})
      named.push_back({.capability = architecture / 10, .name = fmt::format("sm_{}", architecture / 10)});
    return named;
  }();
  return all;
}

std::string text_and_forget(cudaError_t status) {
  cudaGetLastError();  // clear the error: no later call should report it again
  return cudaGetErrorString(status);
}

DriverAnswer::Gpu ask_gpu(int index) {
  DriverAnswer::Gpu gpu{.name = "a GPU"};
  for (const auto& [attribute, value] :
       {std::pair{cudaDevAttrComputeCapabilityMajor, &gpu.major}, {cudaDevAttrComputeCapabilityMinor, &gpu.minor}})
    if (const cudaError_t status = cudaDeviceGetAttribute(value, attribute, index); status != cudaSuccess)
      gpu.error = text_and_forget(status);
  cudaDeviceProp properties;
  if (gpu.error.empty() && cudaGetDeviceProperties(&properties, index) == cudaSuccess) gpu.name = properties.name;
  return gpu;
}

DriverAnswer ask_driver() {
  DriverAnswer answer{.runtime_version = CUDART_VERSION};
  if (cudaDriverGetVersion(&answer.driver_version) != cudaSuccess) {
    cudaGetLastError();
    answer.driver_version = 0;
  }
  if (const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES")) answer.visible = visible;
  // Do not ask an older driver for the rest: its error would hide the real reason.
  if (answer.driver_version / 1000 < CUDART_VERSION / 1000) return answer;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    const std::string text = text_and_forget(status);
    if (status != cudaErrorNoDevice) answer.count_error = text;
    return answer;
  }
  for (int index = 0; index < count; ++index) answer.gpus.push_back(ask_gpu(index));
  return answer;
}

const DriverAnswer& driver_answer() {
  static const DriverAnswer answer = ask_driver();
  return answer;
}

DeviceFacts ask_facts(int index) {
  cudaDeviceProp properties;
  detail::check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties", "ask what the GPU is");
  int shared_bytes = 0;
  detail::check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index), "cudaDeviceGetAttribute",
                "ask what the GPU is");
  return {.name = properties.name,
          .compute_capability = properties.major * 10 + properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .threads_per_multiprocessor = properties.maxThreadsPerMultiProcessor,
          .shared_bytes_per_block = static_cast<size_t>(shared_bytes),
          .memory_bytes = properties.totalGlobalMem,
          .l2_bytes = static_cast<size_t>(properties.l2CacheSize),
          .driver_version = driver_answer().driver_version,
          .runtime_version = CUDART_VERSION};
}

}  // namespace

// Launchers ask for them often, so they are read from the driver once, for all GPUs.
const DeviceFacts& facts(int index) {
  static const DeviceFacts none{.name = "no GPU", .runtime_version = CUDART_VERSION};
  static const std::vector<DeviceFacts> all = [] {
    std::vector<DeviceFacts> each;
    for (size_t i = 0; i < driver_answer().gpus.size(); ++i)
      each.push_back(unavailable(static_cast<int>(i)).empty() ? ask_facts(static_cast<int>(i)) : none);
    return each;
  }();
  return index >= 0 && static_cast<size_t>(index) < all.size() ? all[static_cast<size_t>(index)] : none;
}

std::string unavailable(int index) { return why_unavailable(driver_answer(), built(), index); }

std::string describe_device(int index) {
  const DeviceFacts& f = facts(index);
  return fmt::format("{}: {}, sm_{}, {} multiprocessors, {:.1f} GiB, driver for CUDA {}, runtime {}",
                     index == 0 ? std::string("cuda") : fmt::format("cuda:{}", index), f.name, f.compute_capability, f.multiprocessors,
                     static_cast<double>(f.memory_bytes) / 0x1p30, version_text(f.driver_version), version_text(f.runtime_version));
}

std::string version_line() {
  const std::string why = unavailable(0);
  if (why.empty()) return fmt::format("{}, {}", describe_device(0), vendor::versions());
  return fmt::format("cuda: built for {} with CUDA {}, {}, no device: {}", names_of(built()), version_text(CUDART_VERSION),
                     vendor::versions(), why);
}

}  // namespace mirilla::cuda
