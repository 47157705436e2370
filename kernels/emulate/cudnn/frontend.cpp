// SPDX-License-Identifier: MIT
// Functions that cudnn-frontend's headers name for parts that no program of ours uses: kernels that it compiles itself, objects that it
// hangs on graphs. A program that calls one of them ends with a sentence.
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

namespace {

cudaError_t absent(const char* name) {
  return call(name, Needs::kNothing,
              [&](Runtime&) -> cudaError_t { throw DeviceError(fmt::format("the program calls {}, which is not emulated", name)); });
}

}  // namespace

extern "C" {

// There is no driver whose functions could be found.
cudaError_t CUDARTAPI cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                                       cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPointByVersion", Needs::kNothing, [&](Runtime&) {
    *function = nullptr;
    if (result) *result = cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}

cudaError_t CUDARTAPI cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return absent("cudaThreadExchangeStreamCaptureMode"); }
cudaError_t CUDARTAPI cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus*, unsigned long long*, cudaGraph_t*,
                                               const cudaGraphNode_t**, const cudaGraphEdgeData**, size_t*) {
  return absent("cudaStreamGetCaptureInfo");
}
cudaError_t CUDARTAPI cudaUserObjectCreate(cudaUserObject_t*, void*, cudaHostFn_t, unsigned, unsigned) {
  return absent("cudaUserObjectCreate");
}
cudaError_t CUDARTAPI cudaUserObjectRelease(cudaUserObject_t, unsigned) { return absent("cudaUserObjectRelease"); }
cudaError_t CUDARTAPI cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t, unsigned, unsigned) {
  return absent("cudaGraphRetainUserObject");
}
cudaError_t CUDARTAPI cudaKernelSetAttributeForDevice(cudaKernel_t, cudaFuncAttribute, int, int) {
  return absent("cudaKernelSetAttributeForDevice");
}
cudaError_t CUDARTAPI cudaLibraryLoadData(cudaLibrary_t*, const void*, cudaJitOption*, void**, unsigned, cudaLibraryOption*, void**,
                                          unsigned) {
  return absent("cudaLibraryLoadData");
}
cudaError_t CUDARTAPI cudaLibraryUnload(cudaLibrary_t) { return absent("cudaLibraryUnload"); }
cudaError_t CUDARTAPI cudaLibraryGetKernel(cudaKernel_t*, cudaLibrary_t, const char*) { return absent("cudaLibraryGetKernel"); }

}  // extern "C"

}  // namespace mirilla::emulate
