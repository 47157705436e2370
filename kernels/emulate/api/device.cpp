// SPDX-License-Identifier: MIT
// Which GPUs there are, what they are, and waiting for one.
#include "kernels/emulate/runtime.h"

#include <cstring>

namespace mirilla::emulate {

namespace {

bool exists(const Runtime& r, int index) { return index >= 0 && index < r.settings.gpus; }

constexpr int kWarp = 32, kThreadsPerBlock = 1024, kRegisters = 65536;
constexpr size_t kSharedWithoutOptIn = 48 * 1024, kSharedReserved = 1024, kConstantBytes = 64 * 1024;

int attribute_of(const Settings& settings, int index, cudaDeviceAttr attribute, bool* known) {
  const Card& card = settings.card_of(index);
  *known = true;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: return card.major;
    case cudaDevAttrComputeCapabilityMinor: return card.minor;
    case cudaDevAttrMultiProcessorCount: return settings.multiprocessors_of(card);
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
    case cudaDevAttrClockRate: return card.clock_khz;
    case cudaDevAttrMemoryClockRate: return card.memory_khz;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: return kThreadsPerBlock;
    case cudaDevAttrMaxBlockDimZ: return 64;
    case cudaDevAttrMaxGridDimX: return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: return 65535;
    case cudaDevAttrTotalConstantMemory: return static_cast<int>(kConstantBytes);
    case cudaDevAttrReservedSharedMemoryPerBlock: return static_cast<int>(kSharedReserved);
    case cudaDevAttrMaxPitch: return 0x7fffffff;
    case cudaDevAttrAsyncEngineCount: return 2;
    case cudaDevAttrGpuOverlap:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrGlobalL1CacheSupported:
    case cudaDevAttrLocalL1CacheSupported:
    case cudaDevAttrConcurrentKernels: return 1;
    case cudaDevAttrPciDeviceId: return index;
    case cudaDevAttrComputeMode:  // cudaComputeModeDefault
    case cudaDevAttrIntegrated:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrPageableMemoryAccessUsesHostPageTables:
    case cudaDevAttrDirectManagedMemAccessFromHost:
    case cudaDevAttrHostNativeAtomicSupported:
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrTccDriver:
    case cudaDevAttrIsMultiGpuBoard:
    case cudaDevAttrMultiGpuBoardGroupID:
    case cudaDevAttrMaxPersistingL2CacheSize:
    case cudaDevAttrMaxAccessPolicyWindowSize:
    case cudaDevAttrMemoryPoolSupportedHandleTypes:
    case cudaDevAttrSparseCudaArraySupported:
    case cudaDevAttrIpcEventSupport:
    case cudaDevAttrGPUDirectRDMASupported: return 0;
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
    *value = attribute_of(r.settings, index, attribute, &known);
    if (!known)
      throw DeviceError(fmt::format("the program asks for the device attribute {}, which is not in the table of kernels/emulate",
                                    static_cast<int>(attribute)));
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call("cudaGetDeviceProperties", Needs::kNothing, [&](Runtime& r) {
    if (!exists(r, index)) return cudaErrorInvalidDevice;
    const Card& card = r.settings.card_of(index);
    *properties = {};
    card.name.copy(properties->name, sizeof properties->name - 1);
    properties->totalGlobalMem = r.settings.memory_of(index);
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
    properties->multiProcessorCount = r.settings.multiprocessors_of(card);
    properties->maxThreadsPerMultiProcessor = card.threads_per_multiprocessor;
    properties->maxBlocksPerMultiProcessor = card.blocks_per_multiprocessor;
    properties->l2CacheSize = static_cast<int>(card.l2_bytes);
    properties->memoryBusWidth = card.bus_bits;
    properties->unifiedAddressing = properties->concurrentKernels = properties->memoryPoolsSupported = 1;
    properties->canMapHostMemory = properties->managedMemory = properties->concurrentManagedAccess = 1;
    properties->cooperativeLaunch = properties->streamPrioritiesSupported = properties->hostRegisterSupported = 1;
    properties->ECCEnabled = properties->computePreemptionSupported = properties->canUseHostPointerForRegisteredMem = 1;
    properties->globalL1CacheSupported = properties->localL1CacheSupported = 1;
    properties->memPitch = 0x7fffffff;
    properties->textureAlignment = properties->texturePitchAlignment = 512;
    properties->pciDeviceID = index;
    properties->asyncEngineCount = 2;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaMemGetInfo(size_t* free, size_t* total) {
  return call("cudaMemGetInfo", Needs::kHealthy, [&](Runtime& r) {
    *free = r.device().free_bytes();
    *total = r.device().memory_bytes;
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

cudaError_t CUDARTAPI cudaInitDevice(int index, unsigned, unsigned) {
  return call("cudaInitDevice", Needs::kHealthy, [&](Runtime& r) { return exists(r, index) ? cudaSuccess : cudaErrorInvalidDevice; });
}

// Waits, and gives nothing back: pointers that the program still has point to memory all the same.
cudaError_t CUDARTAPI cudaDeviceReset() {
  return call("cudaDeviceReset", Needs::kHealthy, [&](Runtime& r) {
    r.drain(r.device());
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaSetDeviceFlags(unsigned flags) {
  return call("cudaSetDeviceFlags", Needs::kHealthy, [&](Runtime& r) {
    if (flags & ~static_cast<unsigned>(cudaDeviceMask)) return cudaErrorInvalidValue;
    r.device().flags = flags;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaGetDeviceFlags(unsigned* flags) {
  return call("cudaGetDeviceFlags", Needs::kHealthy, [&](Runtime& r) {
    *flags = r.device().flags | cudaDeviceMapHost;
    return cudaSuccess;
  });
}

// The stack, the heap of kernels and printf's buffer have no limit here.
cudaError_t CUDARTAPI cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  return call("cudaDeviceSetLimit", Needs::kHealthy, [&](Runtime& r) {
    if (limit == cudaLimitDevRuntimeSyncDepth || limit == cudaLimitDevRuntimePendingLaunchCount) return cudaErrorUnsupportedLimit;
    r.device().limits[limit] = value;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  return call("cudaDeviceGetLimit", Needs::kHealthy, [&](Runtime& r) {
    const std::map<int, size_t>& set = r.device().limits;
    if (const auto found = set.find(limit); found != set.end()) {
      *value = found->second;
      return cudaSuccess;
    }
    switch (limit) {  // what a driver sets
      case cudaLimitStackSize: *value = 1024; return cudaSuccess;
      case cudaLimitPrintfFifoSize: *value = size_t{8} << 20; return cudaSuccess;
      case cudaLimitMallocHeapSize: *value = size_t{8} << 20; return cudaSuccess;
      case cudaLimitMaxL2FetchGranularity: *value = 64; return cudaSuccess;
      case cudaLimitPersistingL2CacheSize: *value = 0; return cudaSuccess;
      default: return cudaErrorUnsupportedLimit;
    }
  });
}

// Only hints.
cudaError_t CUDARTAPI cudaDeviceSetCacheConfig(cudaFuncCache) {
  return call("cudaDeviceSetCacheConfig", Needs::kHealthy, [](Runtime&) { return cudaSuccess; });
}
cudaError_t CUDARTAPI cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  return call("cudaDeviceGetCacheConfig", Needs::kHealthy, [&](Runtime&) {
    *config = cudaFuncCachePreferNone;
    return cudaSuccess;
  });
}
cudaError_t CUDARTAPI cudaCtxResetPersistingL2Cache() {
  return call("cudaCtxResetPersistingL2Cache", Needs::kHealthy, [](Runtime&) { return cudaSuccess; });
}
cudaError_t CUDARTAPI cudaProfilerStart() {
  return call("cudaProfilerStart", Needs::kHealthy, [](Runtime&) { return cudaSuccess; });
}
cudaError_t CUDARTAPI cudaProfilerStop() {
  return call("cudaProfilerStop", Needs::kHealthy, [](Runtime&) { return cudaSuccess; });
}

cudaError_t CUDARTAPI cudaDeviceGetPCIBusId(char* text, int length, int index) {
  return call("cudaDeviceGetPCIBusId", Needs::kHealthy, [&](Runtime& r) {
    if (!exists(r, index)) return cudaErrorInvalidDevice;
    const std::string id = fmt::format("0000:00:{:02x}.0", index);
    if (!text || length <= static_cast<int>(id.size())) return cudaErrorInvalidValue;
    text[id.copy(text, id.size())] = '\0';
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceGetByPCIBusId(int* index, const char* text) {
  return call("cudaDeviceGetByPCIBusId", Needs::kHealthy, [&](Runtime& r) {
    for (int k = 0; index && text && k < r.settings.gpus; ++k) {
      if (text != fmt::format("0000:00:{:02x}.0", k)) continue;
      *index = k;
      return cudaSuccess;
    }
    return index && text ? cudaErrorInvalidDevice : cudaErrorInvalidValue;
  });
}

// There is no peer access, and a program may ask before it tries.
cudaError_t CUDARTAPI cudaDeviceCanAccessPeer(int* can, int index, int other) {
  return call("cudaDeviceCanAccessPeer", Needs::kHealthy, [&](Runtime& r) {
    if (!exists(r, index) || !exists(r, other)) return cudaErrorInvalidDevice;
    *can = 0;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int index, int other) {
  return call("cudaDeviceGetP2PAttribute", Needs::kHealthy, [&](Runtime& r) {
    if (!exists(r, index) || !exists(r, other) || index == other) return cudaErrorInvalidDevice;
    *value = 0;
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
