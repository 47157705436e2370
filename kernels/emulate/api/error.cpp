// SPDX-License-Identifier: MIT
#include "kernels/emulate/errors.h"
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

namespace {

// The last error of the thread; one that sticks is never cleared.
cudaError_t last_error(bool clear) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.mutex);
  const cudaError_t last = Runtime::last();
  if (clear) Runtime::last() = cudaSuccess;
  return sticks(r.device().broken) ? r.device().broken : last;
}

}  // namespace

extern "C" {

cudaError_t CUDARTAPI cudaGetLastError() { return last_error(true); }
cudaError_t CUDARTAPI cudaPeekAtLastError() { return last_error(false); }
const char* CUDARTAPI cudaGetErrorName(cudaError_t error) { return name_of(error); }
const char* CUDARTAPI cudaGetErrorString(cudaError_t error) { return text_of(error); }

}  // extern "C"

}  // namespace mirilla::emulate
