// SPDX-License-Identifier: MIT
// The driver's interface is not emulated: a program that looks for one of its functions, as cudnn-frontend does, is told that there is
// none.
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

extern "C" {

cudaError_t CUDARTAPI cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                                       cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPointByVersion", Needs::kNothing, [&](Runtime&) {
    if (function) *function = nullptr;
    if (result) *result = cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}

}  // extern "C"

}  // namespace mirilla::emulate
