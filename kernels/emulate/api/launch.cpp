// SPDX-License-Identifier: MIT
// Kernels: what nvcc's objects call to register and to launch them.
#include "kernels/emulate/modules.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/runtime.h"

#include <cstdio>
#include <cstring>

namespace mirilla::emulate {
using ptx::Dim;
using ptx::Fault;

namespace {

constexpr size_t kSharedWithoutOptIn = 48 * 1024;

struct Launch {
  LoadedKernel loaded;
  Dim grid, block;
  std::vector<std::byte> parameters;
  size_t shared_bytes = 0;
};

std::vector<std::byte> parameters_of(const ptx::Kernel& kernel, void** arguments) {
  std::vector<std::byte> bytes(kernel.parameter_bytes);
  for (size_t k = 0; k < kernel.parameters.size(); ++k)
    std::memcpy(bytes.data() + kernel.parameters[k].offset, arguments[k], kernel.parameters[k].bytes);
  return bytes;
}

void carry_out(Runtime& r, Device& device, const Launch& launch) {
  ptx::Options options;
  options.seed = r.settings.seed ? r.random() | 1 : 0;
  options.detect = r.settings.detect;
  options.threads = r.settings.threads;
  options.limits.shared = r.settings.card->shared_per_block;
  options.counts = r.settings.count ? &r.counts : nullptr;
  options.print = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  const auto start = std::chrono::steady_clock::now();
  const ptx::Work work = device.machine.launch(*launch.loaded.module, *launch.loaded.kernel, launch.grid, launch.block, launch.parameters,
                                               launch.shared_bytes, options);
  r.seconds_in_kernels += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  device.work.blocks += work.blocks;
  device.work.warp_instructions += work.warp_instructions;
  device.work.lane_instructions += work.lane_instructions;
}

size_t shared_allowed(const Device& device, const void* function) {
  const auto found = device.shared_allowed.find(function);
  return found == device.shared_allowed.end() ? kSharedWithoutOptIn : found->second;
}

cudaError_t launch_on(Runtime& r, const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream || stream->device != Runtime::current()) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  Device& device = r.device();
  const LoadedKernel loaded = find_kernel(device, function);
  if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
  if (shared_bytes > shared_allowed(device, function)) return cudaErrorInvalidValue;
  const auto launch = std::make_shared<Launch>(
      Launch{loaded, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, parameters_of(*loaded.kernel, arguments), shared_bytes});
  try {
    ptx::Limits limits;
    limits.shared = r.settings.card->shared_per_block;
    check_launch(*loaded.kernel, launch->grid, launch->block, launch->parameters.size(), shared_bytes, limits);
  } catch (const Fault& fault) {
    print_line(readable(fault.what(), fault.kernel));
    return cudaErrorInvalidConfiguration;
  }
  submit(r, *stream, work_of([&r, &device, launch] { device.execute([&] { carry_out(r, device, *launch); }); }));
  return cudaSuccess;
}

struct Configuration {
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;
};

std::vector<Configuration>& configurations() {
  static thread_local std::vector<Configuration> all;
  return all;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                                       cudaStream_t stream) {
  return call("cudaLaunchKernel", Needs::kHealthy,
              [&](Runtime& r) { return launch_on(r, function, grid, block, arguments, shared_bytes, stream); });
}

cudaError_t CUDARTAPI cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", Needs::kHealthy, [&](Runtime& r) {
    Device& device = r.device();
    const LoadedKernel loaded = find_kernel(device, function);
    if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;  // the others only help caches
    if (value < 0 || static_cast<size_t>(value) + loaded.kernel->shared_bytes > r.settings.card->shared_per_block)
      return cudaErrorInvalidValue;
    device.shared_allowed[function] = static_cast<size_t>(value);
    return cudaSuccess;
  });
}

// Called by what nvcc makes of a file with kernels. crt/host_runtime.h declares some of them, for nvcc only.
void** CUDARTAPI __cudaRegisterFatBinary(void* wrapper) { return register_binary(wrapper); }
void CUDARTAPI __cudaRegisterFatBinaryEnd(void**) {}
void CUDARTAPI __cudaUnregisterFatBinary(void** binary) { unregister_binary(binary); }
void CUDARTAPI __cudaRegisterFunction(void** binary, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  register_kernel(binary, host, name);
}
void CUDARTAPI __cudaRegisterVar(void** binary, char*, char*, const char* name, int, size_t, int, int) { register_variable(binary, name); }

unsigned CUDARTAPI __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, CUstream_st* stream) {
  configurations().push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t CUDARTAPI __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream) {
  if (configurations().empty()) return cudaErrorMissingConfiguration;
  const Configuration last = configurations().back();
  configurations().pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared_bytes = last.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}

// A kernel's handle is the host's function.
cudaError_t CUDARTAPI __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t CUDARTAPI __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                                         cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared_bytes, stream);
}

}  // extern "C"

}  // namespace mirilla::emulate
