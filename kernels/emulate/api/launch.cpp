// SPDX-License-Identifier: MIT
// Kernels: what nvcc's objects call to register and to launch them.
#include "kernels/emulate/launches.h"
#include "kernels/emulate/names.h"

#include <cuda_runtime_api.h>

namespace mirilla::emulate {

namespace {

cudaError_t launch_on(Runtime& r, const Launch& launch, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream || stream->device != Runtime::current()) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  Work work;
  if (const cudaError_t wrong = make_launch(r, launch, &work)) return wrong;
  submit(r, *stream, std::move(work));
  return cudaSuccess;
}

// Of the attributes of cudaLaunchKernelExC those that change what a launch means; the others only make it faster.
cudaError_t take_attribute(const cudaLaunchAttribute& attribute, Launch* launch) {
  switch (attribute.id) {
    case cudaLaunchAttributeCooperative: launch->cooperative = attribute.val.cooperative != 0; return cudaSuccess;
    case cudaLaunchAttributeClusterDimension: {
      const auto& cluster = attribute.val.clusterDim;
      if (cluster.x * cluster.y * cluster.z == 1) return cudaSuccess;
      throw DeviceError("the program launches a kernel with clusters of blocks, which are not emulated");
    }
    case cudaLaunchAttributeProgrammaticEvent:
    case cudaLaunchAttributeLaunchCompletionEvent:
    case cudaLaunchAttributeDeviceUpdatableKernelNode:
      throw DeviceError(
          fmt::format("the program launches a kernel with the attribute {}, which is not emulated", static_cast<int>(attribute.id)));
    default: return cudaSuccess;
  }
}

constexpr int kMostRegisters = 255;

cudaError_t describe(Runtime& r, cudaFuncAttributes* attributes, const void* function) {
  Device& device = r.device();
  const LoadedKernel loaded = find_kernel(device, function);
  if (!attributes) return cudaErrorInvalidValue;
  if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
  const ptx::Kernel& kernel = *loaded.kernel;
  *attributes = {};
  attributes->sharedSizeBytes = kernel.shared_bytes;
  attributes->localSizeBytes = kernel.local_bytes;
  const ptx::u32 most = kernel.max_threads[0] * kernel.max_threads[1] * kernel.max_threads[2];
  attributes->maxThreadsPerBlock = most ? static_cast<int>(most) : 1024;
  // Those of the emulated GPU: ptxas would choose another number.
  attributes->numRegs = std::clamp(static_cast<int>(kernel.frame_bytes / (4 * ptx::kLanes)), 1, kMostRegisters);
  attributes->ptxVersion = attributes->binaryVersion = device.card.capability();
  const auto allowed = device.shared_allowed.find(function);
  attributes->maxDynamicSharedSizeBytes =
      static_cast<int>(allowed == device.shared_allowed.end() ? kSharedWithoutOptIn - kernel.shared_bytes : allowed->second);
  attributes->preferredShmemCarveout = -1;
  return cudaSuccess;
}

cudaError_t count_blocks(Runtime& r, int* blocks, const void* function, int threads, size_t shared_bytes) {
  const LoadedKernel loaded = find_kernel(r.device(), function);
  if (!blocks || threads <= 0) return cudaErrorInvalidValue;
  if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
  *blocks = threads > 1024 ? 0 : blocks_per_multiprocessor(r.device().card, *loaded.kernel, threads, shared_bytes);
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
  return call("cudaLaunchKernel", Needs::kHealthy, [&](Runtime& r) {
    return launch_on(r, {function, grid, block, arguments, shared_bytes}, stream);
  });
}

cudaError_t CUDARTAPI cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                                                  cudaStream_t stream) {
  return call("cudaLaunchCooperativeKernel", Needs::kHealthy, [&](Runtime& r) {
    return launch_on(r, {function, grid, block, arguments, shared_bytes, true}, stream);
  });
}

cudaError_t CUDARTAPI cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  return call("cudaLaunchKernelExC", Needs::kHealthy, [&](Runtime& r) {
    Launch launch{function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes};
    for (unsigned k = 0; k < config->numAttrs; ++k) {
      if (const cudaError_t wrong = take_attribute(config->attrs[k], &launch)) return wrong;
    }
    return launch_on(r, launch, config->stream);
  });
}

cudaError_t CUDARTAPI cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call("cudaFuncGetAttributes", Needs::kHealthy, [&](Runtime& r) { return describe(r, attributes, function); });
}

cudaError_t CUDARTAPI cudaFuncGetName(const char** name, const void* function) {
  return call("cudaFuncGetName", Needs::kHealthy, [&](Runtime&) {
    if (!name) return cudaErrorInvalidValue;
    *name = name_of_kernel(function);
    return *name ? cudaSuccess : cudaErrorInvalidDeviceFunction;
  });
}

// Only hints.
cudaError_t CUDARTAPI cudaFuncSetCacheConfig(const void* function, cudaFuncCache) {
  return call("cudaFuncSetCacheConfig", Needs::kHealthy,
              [&](Runtime& r) { return find_kernel(r.device(), function).kernel ? cudaSuccess : cudaErrorInvalidDeviceFunction; });
}

cudaError_t CUDARTAPI cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads, size_t shared_bytes) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", Needs::kHealthy,
              [&](Runtime& r) { return count_blocks(r, blocks, function, threads, shared_bytes); });
}

cudaError_t CUDARTAPI cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                             size_t shared_bytes, unsigned) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", Needs::kHealthy,
              [&](Runtime& r) { return count_blocks(r, blocks, function, threads, shared_bytes); });
}

// As much as leaves room for so many blocks on a multiprocessor.
cudaError_t CUDARTAPI cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* function, int blocks, int threads) {
  return call("cudaOccupancyAvailableDynamicSMemPerBlock", Needs::kHealthy, [&](Runtime& r) {
    const LoadedKernel loaded = find_kernel(r.device(), function);
    if (!bytes || blocks <= 0 || threads <= 0) return cudaErrorInvalidValue;
    if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
    const Card& card = r.device().card;
    if (blocks_per_multiprocessor(card, *loaded.kernel, threads, 0) < blocks) return cudaErrorInvalidValue;
    const size_t each = std::min(card.shared_per_block, card.shared_per_multiprocessor / static_cast<size_t>(blocks) - kSharedReserved);
    *bytes = each > loaded.kernel->dynamic_offset ? each - loaded.kernel->dynamic_offset : 0;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", Needs::kHealthy, [&](Runtime& r) {
    Device& device = r.device();
    const LoadedKernel loaded = find_kernel(device, function);
    if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;  // the others only help caches
    if (value < 0 || static_cast<size_t>(value) + loaded.kernel->shared_bytes > device.card.shared_per_block) return cudaErrorInvalidValue;
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
void CUDARTAPI __cudaRegisterVar(void** binary, char* host, char*, const char* name, int, size_t, int, int) {
  register_variable(binary, host, name);
}
void CUDARTAPI __cudaRegisterManagedVar(void** binary, void** host, char*, const char* name, int, size_t, int, int) {
  register_managed(binary, host, name);
}
char CUDARTAPI __cudaInitModule(void** binary) {
  init_module(binary);
  return 1;
}

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

cudaError_t CUDARTAPI cudaGetKernel(cudaKernel_t* kernel, const void* function) { return __cudaGetKernel(kernel, function); }

cudaError_t CUDARTAPI __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                                         cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared_bytes, stream);
}

}  // extern "C"

}  // namespace mirilla::emulate
