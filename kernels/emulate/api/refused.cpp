// SPDX-License-Identifier: MIT
// What a program may link and not call. CUDA's header is not included: a function that does not return needs none of its parameters.
#include "kernels/core/error.h"

#include <string_view>

namespace mirilla::emulate {

[[noreturn]] void end_program(const Error& error);

namespace {

constexpr std::string_view kTextures = "textures, surfaces and arrays are not emulated";
constexpr std::string_view kGraphics = "graphics, and memory and semaphores of other interfaces, are not emulated";
constexpr std::string_view kPeers = "peer access between GPUs is not emulated";
constexpr std::string_view kProcesses = "sharing memory between processes is not emulated";
constexpr std::string_view kDriver = "the driver's interface is not emulated";
constexpr std::string_view kClusters = "clusters of blocks are not emulated";
constexpr std::string_view kNotThere = "kernels/emulate lacks this function";

[[noreturn]] void refuse(std::string_view name, std::string_view why) {
  end_program(DeviceError(fmt::format("the program calls {}: {}", name, why)));
}

}  // namespace

extern "C" {

void cudaArrayGetInfo() { refuse("cudaArrayGetInfo", kTextures); }
void cudaArrayGetMemoryRequirements() { refuse("cudaArrayGetMemoryRequirements", kTextures); }
void cudaArrayGetPlane() { refuse("cudaArrayGetPlane", kTextures); }
void cudaArrayGetSparseProperties() { refuse("cudaArrayGetSparseProperties", kTextures); }
void cudaChooseDevice() { refuse("cudaChooseDevice", kNotThere); }
void cudaCreateSurfaceObject() { refuse("cudaCreateSurfaceObject", kTextures); }
void cudaCreateTextureObject() { refuse("cudaCreateTextureObject", kTextures); }
void cudaDestroyExternalMemory() { refuse("cudaDestroyExternalMemory", kGraphics); }
void cudaDestroyExternalSemaphore() { refuse("cudaDestroyExternalSemaphore", kGraphics); }
void cudaDestroySurfaceObject() { refuse("cudaDestroySurfaceObject", kTextures); }
void cudaDestroyTextureObject() { refuse("cudaDestroyTextureObject", kTextures); }
void cudaDeviceDisablePeerAccess() { refuse("cudaDeviceDisablePeerAccess", kPeers); }
void cudaDeviceEnablePeerAccess() { refuse("cudaDeviceEnablePeerAccess", kPeers); }
void cudaDeviceFlushGPUDirectRDMAWrites() { refuse("cudaDeviceFlushGPUDirectRDMAWrites", kNotThere); }
void cudaDeviceGetGraphMemAttribute() { refuse("cudaDeviceGetGraphMemAttribute", kNotThere); }
void cudaDeviceGetHostAtomicCapabilities() { refuse("cudaDeviceGetHostAtomicCapabilities", kNotThere); }
void cudaDeviceGetNvSciSyncAttributes() { refuse("cudaDeviceGetNvSciSyncAttributes", kProcesses); }
void cudaDeviceGetP2PAtomicCapabilities() { refuse("cudaDeviceGetP2PAtomicCapabilities", kPeers); }
void cudaDeviceGetSharedMemConfig() { refuse("cudaDeviceGetSharedMemConfig", kNotThere); }
void cudaDeviceGetTexture1DLinearMaxWidth() { refuse("cudaDeviceGetTexture1DLinearMaxWidth", kTextures); }
void cudaDeviceRegisterAsyncNotification() { refuse("cudaDeviceRegisterAsyncNotification", kNotThere); }
void cudaDeviceSetGraphMemAttribute() { refuse("cudaDeviceSetGraphMemAttribute", kNotThere); }
void cudaDeviceSetSharedMemConfig() { refuse("cudaDeviceSetSharedMemConfig", kNotThere); }
void cudaDeviceUnregisterAsyncNotification() { refuse("cudaDeviceUnregisterAsyncNotification", kNotThere); }
void cudaExternalMemoryGetMappedBuffer() { refuse("cudaExternalMemoryGetMappedBuffer", kGraphics); }
void cudaExternalMemoryGetMappedMipmappedArray() { refuse("cudaExternalMemoryGetMappedMipmappedArray", kTextures); }
void cudaFreeArray() { refuse("cudaFreeArray", kTextures); }
void cudaFreeMipmappedArray() { refuse("cudaFreeMipmappedArray", kTextures); }
void cudaFuncGetParamInfo() { refuse("cudaFuncGetParamInfo", kNotThere); }
void cudaFuncSetSharedMemConfig() { refuse("cudaFuncSetSharedMemConfig", kNotThere); }
void cudaGetChannelDesc() { refuse("cudaGetChannelDesc", kTextures); }
void cudaGetExportTable() { refuse("cudaGetExportTable", kDriver); }
void cudaGetFuncBySymbol() { refuse("cudaGetFuncBySymbol", kDriver); }
void cudaGetMipmappedArrayLevel() { refuse("cudaGetMipmappedArrayLevel", kTextures); }
void cudaGetSurfaceObjectResourceDesc() { refuse("cudaGetSurfaceObjectResourceDesc", kTextures); }
void cudaGetTextureObjectResourceDesc() { refuse("cudaGetTextureObjectResourceDesc", kTextures); }
void cudaGetTextureObjectResourceViewDesc() { refuse("cudaGetTextureObjectResourceViewDesc", kTextures); }
void cudaGetTextureObjectTextureDesc() { refuse("cudaGetTextureObjectTextureDesc", kTextures); }
void cudaGraphAddEventRecordNode() { refuse("cudaGraphAddEventRecordNode", kNotThere); }
void cudaGraphAddEventWaitNode() { refuse("cudaGraphAddEventWaitNode", kNotThere); }
void cudaGraphAddExternalSemaphoresSignalNode() { refuse("cudaGraphAddExternalSemaphoresSignalNode", kGraphics); }
void cudaGraphAddExternalSemaphoresWaitNode() { refuse("cudaGraphAddExternalSemaphoresWaitNode", kGraphics); }
void cudaGraphAddMemcpyNodeFromSymbol() { refuse("cudaGraphAddMemcpyNodeFromSymbol", kNotThere); }
void cudaGraphAddMemcpyNodeToSymbol() { refuse("cudaGraphAddMemcpyNodeToSymbol", kNotThere); }
void cudaGraphAddNode() { refuse("cudaGraphAddNode", kNotThere); }
void cudaGraphChildGraphNodeGetGraph() { refuse("cudaGraphChildGraphNodeGetGraph", kNotThere); }
void cudaGraphConditionalHandleCreate() { refuse("cudaGraphConditionalHandleCreate", kNotThere); }
void cudaGraphDebugDotPrint() { refuse("cudaGraphDebugDotPrint", kNotThere); }
void cudaGraphDestroyNode() { refuse("cudaGraphDestroyNode", kNotThere); }
void cudaGraphEventRecordNodeGetEvent() { refuse("cudaGraphEventRecordNodeGetEvent", kNotThere); }
void cudaGraphEventRecordNodeSetEvent() { refuse("cudaGraphEventRecordNodeSetEvent", kNotThere); }
void cudaGraphEventWaitNodeGetEvent() { refuse("cudaGraphEventWaitNodeGetEvent", kNotThere); }
void cudaGraphEventWaitNodeSetEvent() { refuse("cudaGraphEventWaitNodeSetEvent", kNotThere); }
void cudaGraphExecChildGraphNodeSetParams() { refuse("cudaGraphExecChildGraphNodeSetParams", kNotThere); }
void cudaGraphExecEventRecordNodeSetEvent() { refuse("cudaGraphExecEventRecordNodeSetEvent", kNotThere); }
void cudaGraphExecEventWaitNodeSetEvent() { refuse("cudaGraphExecEventWaitNodeSetEvent", kNotThere); }
void cudaGraphExecExternalSemaphoresSignalNodeSetParams() { refuse("cudaGraphExecExternalSemaphoresSignalNodeSetParams", kGraphics); }
void cudaGraphExecExternalSemaphoresWaitNodeSetParams() { refuse("cudaGraphExecExternalSemaphoresWaitNodeSetParams", kGraphics); }
void cudaGraphExecGetFlags() { refuse("cudaGraphExecGetFlags", kNotThere); }
void cudaGraphExecMemcpyNodeSetParamsFromSymbol() { refuse("cudaGraphExecMemcpyNodeSetParamsFromSymbol", kNotThere); }
void cudaGraphExecMemcpyNodeSetParamsToSymbol() { refuse("cudaGraphExecMemcpyNodeSetParamsToSymbol", kNotThere); }
void cudaGraphExecNodeSetParams() { refuse("cudaGraphExecNodeSetParams", kNotThere); }
void cudaGraphExternalSemaphoresSignalNodeGetParams() { refuse("cudaGraphExternalSemaphoresSignalNodeGetParams", kGraphics); }
void cudaGraphExternalSemaphoresSignalNodeSetParams() { refuse("cudaGraphExternalSemaphoresSignalNodeSetParams", kGraphics); }
void cudaGraphExternalSemaphoresWaitNodeGetParams() { refuse("cudaGraphExternalSemaphoresWaitNodeGetParams", kGraphics); }
void cudaGraphExternalSemaphoresWaitNodeSetParams() { refuse("cudaGraphExternalSemaphoresWaitNodeSetParams", kGraphics); }
void cudaGraphGetEdges() { refuse("cudaGraphGetEdges", kNotThere); }
void cudaGraphHostNodeGetParams() { refuse("cudaGraphHostNodeGetParams", kNotThere); }
void cudaGraphHostNodeSetParams() { refuse("cudaGraphHostNodeSetParams", kNotThere); }
void cudaGraphInstantiateWithParams() { refuse("cudaGraphInstantiateWithParams", kNotThere); }
void cudaGraphKernelNodeCopyAttributes() { refuse("cudaGraphKernelNodeCopyAttributes", kNotThere); }
void cudaGraphKernelNodeGetAttribute() { refuse("cudaGraphKernelNodeGetAttribute", kNotThere); }
void cudaGraphKernelNodeGetParams() { refuse("cudaGraphKernelNodeGetParams", kNotThere); }
void cudaGraphKernelNodeSetAttribute() { refuse("cudaGraphKernelNodeSetAttribute", kNotThere); }
void cudaGraphMemAllocNodeGetParams() { refuse("cudaGraphMemAllocNodeGetParams", kNotThere); }
void cudaGraphMemFreeNodeGetParams() { refuse("cudaGraphMemFreeNodeGetParams", kNotThere); }
void cudaGraphMemcpyNodeGetParams() { refuse("cudaGraphMemcpyNodeGetParams", kNotThere); }
void cudaGraphMemcpyNodeSetParams() { refuse("cudaGraphMemcpyNodeSetParams", kNotThere); }
void cudaGraphMemcpyNodeSetParams1D() { refuse("cudaGraphMemcpyNodeSetParams1D", kNotThere); }
void cudaGraphMemcpyNodeSetParamsFromSymbol() { refuse("cudaGraphMemcpyNodeSetParamsFromSymbol", kNotThere); }
void cudaGraphMemcpyNodeSetParamsToSymbol() { refuse("cudaGraphMemcpyNodeSetParamsToSymbol", kNotThere); }
void cudaGraphMemsetNodeGetParams() { refuse("cudaGraphMemsetNodeGetParams", kNotThere); }
void cudaGraphMemsetNodeSetParams() { refuse("cudaGraphMemsetNodeSetParams", kNotThere); }
void cudaGraphNodeFindInClone() { refuse("cudaGraphNodeFindInClone", kNotThere); }
void cudaGraphNodeGetDependencies() { refuse("cudaGraphNodeGetDependencies", kNotThere); }
void cudaGraphNodeGetDependentNodes() { refuse("cudaGraphNodeGetDependentNodes", kNotThere); }
void cudaGraphNodeGetEnabled() { refuse("cudaGraphNodeGetEnabled", kNotThere); }
void cudaGraphNodeSetEnabled() { refuse("cudaGraphNodeSetEnabled", kNotThere); }
void cudaGraphNodeSetParams() { refuse("cudaGraphNodeSetParams", kNotThere); }
void cudaGraphReleaseUserObject() { refuse("cudaGraphReleaseUserObject", kNotThere); }
void cudaGraphRemoveDependencies() { refuse("cudaGraphRemoveDependencies", kNotThere); }
void cudaGraphRetainUserObject() { refuse("cudaGraphRetainUserObject", kNotThere); }
void cudaGraphicsMapResources() { refuse("cudaGraphicsMapResources", kGraphics); }
void cudaGraphicsResourceGetMappedMipmappedArray() { refuse("cudaGraphicsResourceGetMappedMipmappedArray", kTextures); }
void cudaGraphicsResourceGetMappedPointer() { refuse("cudaGraphicsResourceGetMappedPointer", kGraphics); }
void cudaGraphicsResourceSetMapFlags() { refuse("cudaGraphicsResourceSetMapFlags", kGraphics); }
void cudaGraphicsSubResourceGetMappedArray() { refuse("cudaGraphicsSubResourceGetMappedArray", kTextures); }
void cudaGraphicsUnmapResources() { refuse("cudaGraphicsUnmapResources", kGraphics); }
void cudaGraphicsUnregisterResource() { refuse("cudaGraphicsUnregisterResource", kGraphics); }
void cudaImportExternalMemory() { refuse("cudaImportExternalMemory", kGraphics); }
void cudaImportExternalSemaphore() { refuse("cudaImportExternalSemaphore", kGraphics); }
void cudaIpcCloseMemHandle() { refuse("cudaIpcCloseMemHandle", kProcesses); }
void cudaIpcGetEventHandle() { refuse("cudaIpcGetEventHandle", kProcesses); }
void cudaIpcGetMemHandle() { refuse("cudaIpcGetMemHandle", kProcesses); }
void cudaIpcOpenEventHandle() { refuse("cudaIpcOpenEventHandle", kProcesses); }
void cudaIpcOpenMemHandle() { refuse("cudaIpcOpenMemHandle", kProcesses); }
void cudaKernelSetAttributeForDevice() { refuse("cudaKernelSetAttributeForDevice", kNotThere); }
void cudaLibraryEnumerateKernels() { refuse("cudaLibraryEnumerateKernels", kDriver); }
void cudaLibraryGetGlobal() { refuse("cudaLibraryGetGlobal", kDriver); }
void cudaLibraryGetKernel() { refuse("cudaLibraryGetKernel", kDriver); }
void cudaLibraryGetKernelCount() { refuse("cudaLibraryGetKernelCount", kDriver); }
void cudaLibraryGetManaged() { refuse("cudaLibraryGetManaged", kDriver); }
void cudaLibraryGetUnifiedFunction() { refuse("cudaLibraryGetUnifiedFunction", kDriver); }
void cudaLibraryLoadData() { refuse("cudaLibraryLoadData", kDriver); }
void cudaLibraryLoadFromFile() { refuse("cudaLibraryLoadFromFile", kDriver); }
void cudaLibraryUnload() { refuse("cudaLibraryUnload", kDriver); }
void cudaLogsCurrent() { refuse("cudaLogsCurrent", kNotThere); }
void cudaLogsDumpToFile() { refuse("cudaLogsDumpToFile", kNotThere); }
void cudaLogsDumpToMemory() { refuse("cudaLogsDumpToMemory", kNotThere); }
void cudaLogsRegisterCallback() { refuse("cudaLogsRegisterCallback", kNotThere); }
void cudaLogsUnregisterCallback() { refuse("cudaLogsUnregisterCallback", kNotThere); }
void cudaMalloc3DArray() { refuse("cudaMalloc3DArray", kTextures); }
void cudaMallocArray() { refuse("cudaMallocArray", kTextures); }
void cudaMallocMipmappedArray() { refuse("cudaMallocMipmappedArray", kTextures); }
void cudaMemDiscardAndPrefetchBatchAsync() { refuse("cudaMemDiscardAndPrefetchBatchAsync", kNotThere); }
void cudaMemDiscardBatchAsync() { refuse("cudaMemDiscardBatchAsync", kNotThere); }
void cudaMemGetDefaultMemPool() { refuse("cudaMemGetDefaultMemPool", kNotThere); }
void cudaMemGetMemPool() { refuse("cudaMemGetMemPool", kNotThere); }
void cudaMemPoolExportPointer() { refuse("cudaMemPoolExportPointer", kProcesses); }
void cudaMemPoolExportToShareableHandle() { refuse("cudaMemPoolExportToShareableHandle", kProcesses); }
void cudaMemPoolImportFromShareableHandle() { refuse("cudaMemPoolImportFromShareableHandle", kProcesses); }
void cudaMemPoolImportPointer() { refuse("cudaMemPoolImportPointer", kProcesses); }
void cudaMemPrefetchBatchAsync() { refuse("cudaMemPrefetchBatchAsync", kNotThere); }
void cudaMemRangeGetAttribute() { refuse("cudaMemRangeGetAttribute", kNotThere); }
void cudaMemRangeGetAttributes() { refuse("cudaMemRangeGetAttributes", kNotThere); }
void cudaMemSetMemPool() { refuse("cudaMemSetMemPool", kNotThere); }
void cudaMemcpy2DArrayToArray() { refuse("cudaMemcpy2DArrayToArray", kTextures); }
void cudaMemcpy2DFromArray() { refuse("cudaMemcpy2DFromArray", kTextures); }
void cudaMemcpy2DFromArrayAsync() { refuse("cudaMemcpy2DFromArrayAsync", kTextures); }
void cudaMemcpy2DToArray() { refuse("cudaMemcpy2DToArray", kTextures); }
void cudaMemcpy2DToArrayAsync() { refuse("cudaMemcpy2DToArrayAsync", kTextures); }
void cudaMemcpy3DBatchAsync() { refuse("cudaMemcpy3DBatchAsync", kNotThere); }
void cudaMemcpy3DPeer() { refuse("cudaMemcpy3DPeer", kPeers); }
void cudaMemcpy3DPeerAsync() { refuse("cudaMemcpy3DPeerAsync", kPeers); }
void cudaMemcpyArrayToArray() { refuse("cudaMemcpyArrayToArray", kTextures); }
void cudaMemcpyBatchAsync() { refuse("cudaMemcpyBatchAsync", kNotThere); }
void cudaMemcpyFromArray() { refuse("cudaMemcpyFromArray", kTextures); }
void cudaMemcpyFromArrayAsync() { refuse("cudaMemcpyFromArrayAsync", kTextures); }
void cudaMemcpyToArray() { refuse("cudaMemcpyToArray", kTextures); }
void cudaMemcpyToArrayAsync() { refuse("cudaMemcpyToArrayAsync", kTextures); }
void cudaMipmappedArrayGetMemoryRequirements() { refuse("cudaMipmappedArrayGetMemoryRequirements", kTextures); }
void cudaMipmappedArrayGetSparseProperties() { refuse("cudaMipmappedArrayGetSparseProperties", kTextures); }
void cudaOccupancyMaxActiveClusters() { refuse("cudaOccupancyMaxActiveClusters", kClusters); }
void cudaOccupancyMaxPotentialClusterSize() { refuse("cudaOccupancyMaxPotentialClusterSize", kClusters); }
void cudaSetValidDevices() { refuse("cudaSetValidDevices", kNotThere); }
void cudaSignalExternalSemaphoresAsync() { refuse("cudaSignalExternalSemaphoresAsync", kGraphics); }
void cudaStreamBeginCaptureToGraph() { refuse("cudaStreamBeginCaptureToGraph", kNotThere); }
void cudaStreamCopyAttributes() { refuse("cudaStreamCopyAttributes", kNotThere); }
void cudaStreamGetAttribute() { refuse("cudaStreamGetAttribute", kNotThere); }
void cudaStreamGetCaptureInfo() { refuse("cudaStreamGetCaptureInfo", kNotThere); }
void cudaStreamUpdateCaptureDependencies() { refuse("cudaStreamUpdateCaptureDependencies", kNotThere); }
void cudaThreadExchangeStreamCaptureMode() { refuse("cudaThreadExchangeStreamCaptureMode", kNotThere); }
void cudaUserObjectCreate() { refuse("cudaUserObjectCreate", kNotThere); }
void cudaUserObjectRelease() { refuse("cudaUserObjectRelease", kNotThere); }
void cudaUserObjectRetain() { refuse("cudaUserObjectRetain", kNotThere); }
void cudaWaitExternalSemaphoresAsync() { refuse("cudaWaitExternalSemaphoresAsync", kGraphics); }

}  // extern "C"

}  // namespace mirilla::emulate
