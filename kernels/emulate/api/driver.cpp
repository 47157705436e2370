// SPDX-License-Identifier: MIT
// The driver's interface is not emulated: a program that looks for one of its functions, as cudnn-frontend does, is told that there is
// none.
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

namespace {

cudaError_t not_found(const char* name, void** function, cudaDriverEntryPointQueryResult* result) {
  return call(name, Needs::kNothing, [&](Runtime&) {
    if (function) *function = nullptr;
    if (result) *result = cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaGetDriverEntryPoint(const char*, void** function, unsigned long long, cudaDriverEntryPointQueryResult* result) {
  return not_found("cudaGetDriverEntryPoint", function, result);
}

cudaError_t CUDARTAPI cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                                       cudaDriverEntryPointQueryResult* result) {
  return not_found("cudaGetDriverEntryPointByVersion", function, result);
}

}  // extern "C"

}  // namespace mirilla::emulate
