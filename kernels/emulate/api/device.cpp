// SPDX-License-Identifier: MIT
// Which GPUs there are, what they are, and waiting for one.
#include "kernels/emulate/runtime.h"

#include <cstring>

namespace mirilla::emulate {

namespace {

bool exists(const Runtime& r, int index) { return index >= 0 && index < r.settings.gpus; }

constexpr int kWarp = 32, kThreadsPerBlock = 1024, kRegisters = 65536;
constexpr size_t kSharedWithoutOptIn = 48 * 1024, kSharedReserved = 1024, kConstantBytes = 64 * 1024;

int attribute_of(const Card& card, cudaDeviceAttr attribute, bool* known) {
  *known = true;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: return card.major;
    case cudaDevAttrComputeCapabilityMinor: return card.minor;
    case cudaDevAttrMultiProcessorCount: return card.multiprocessors;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return card.threads_per_multiprocessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor: return card.blocks_per_multiprocessor;
    case cudaDevAttrMaxThreadsPerBlock: return kThreadsPerBlock;
    case cudaDevAttrMaxSharedMemoryPerBlock: return static_cast<int>(kSharedWithoutOptIn);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return static_cast<int>(card.shared_per_block);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return static_cast<int>(card.shared_per_multiprocessor);
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: return kRegisters;
    case cudaDevAttrL2CacheSize: return static_cast<int>(card.l2_bytes);
    case cudaDevAttrGlobalMemoryBusWidth: return card.bus_bits;
    case cudaDevAttrWarpSize: return kWarp;
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrConcurrentKernels: return 1;
    default: *known = false; return 0;
  }
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", Needs::kNothing, [&](Runtime& r) {
    *count = r.settings.gpus;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaSetDevice(int index) {
  return call("cudaSetDevice", Needs::kHealthy, [&](Runtime& r) {
    if (!exists(r, index)) return cudaErrorInvalidDevice;
    Runtime::current() = index;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGetDevice(int* index) {
  return call("cudaGetDevice", Needs::kNothing, [&](Runtime&) {
    *index = Runtime::current();
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDriverGetVersion(int* version) {
  return call("cudaDriverGetVersion", Needs::kNothing, [&](Runtime&) {
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaRuntimeGetVersion(int* version) {
  return call("cudaRuntimeGetVersion", Needs::kNothing, [&](Runtime&) {
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  return call("cudaDeviceGetAttribute", Needs::kNothing, [&](Runtime& r) {
    if (!exists(r, index)) return cudaErrorInvalidDevice;
    bool known = false;
    *value = attribute_of(*r.settings.card, attribute, &known);
    if (!known)
      throw DeviceError(fmt::format("the program asks for the device attribute {}, which is not in the table of kernels/emulate",
                                    static_cast<int>(attribute)));
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call("cudaGetDeviceProperties", Needs::kNothing, [&](Runtime& r) {
    if (!exists(r, index)) return cudaErrorInvalidDevice;
    const Card& card = *r.settings.card;
    *properties = {};
    card.name.copy(properties->name, sizeof properties->name - 1);
    properties->totalGlobalMem = r.settings.memory_bytes;
    properties->sharedMemPerBlock = kSharedWithoutOptIn;
    properties->sharedMemPerBlockOptin = card.shared_per_block;
    properties->sharedMemPerMultiprocessor = card.shared_per_multiprocessor;
    properties->reservedSharedMemPerBlock = kSharedReserved;
    properties->regsPerBlock = properties->regsPerMultiprocessor = kRegisters;
    properties->warpSize = kWarp;
    properties->maxThreadsPerBlock = kThreadsPerBlock;
    properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = kThreadsPerBlock;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 0x7fffffff;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->totalConstMem = kConstantBytes;
    properties->major = card.major;
    properties->minor = card.minor;
    properties->multiProcessorCount = card.multiprocessors;
    properties->maxThreadsPerMultiProcessor = card.threads_per_multiprocessor;
    properties->maxBlocksPerMultiProcessor = card.blocks_per_multiprocessor;
    properties->l2CacheSize = static_cast<int>(card.l2_bytes);
    properties->memoryBusWidth = card.bus_bits;
    properties->unifiedAddressing = properties->concurrentKernels = properties->memoryPoolsSupported = 1;
    properties->asyncEngineCount = 2;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemGetInfo(size_t* free, size_t* total) {
  return call("cudaMemGetInfo", Needs::kHealthy, [&](Runtime& r) {
    *free = r.device().free_bytes();
    *total = r.settings.memory_bytes;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Needs::kHealthy, [&](Runtime& r) {
    if (const cudaError_t refused = refuse_device_wide(r, Runtime::current())) return refused;
    r.drain(r.device());
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
