// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/modules.h"
#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

constexpr size_t kSharedWithoutOptIn = 48 * 1024;
constexpr size_t kSharedReserved = 1024;  // of each block, for the system

/// What a call of <<<>>>, or a kernel node of a graph, asks for.
struct Launch {
  const void* function = nullptr;
  dim3 grid, block;
  void** arguments = nullptr;
  size_t shared_bytes = 0;
  bool cooperative = false;  // all blocks run at the same time, and may wait for each other
};

/// Work that runs the kernel on the current device, whose parameters are copied now. Where CUDA refuses the launch when it is called, the
/// error is returned and `work` stays as it is.
cudaError_t make_launch(Runtime& runtime, const Launch& launch, Work* work);

/// Blocks of that many threads that a multiprocessor holds at the same time, as far as threads, blocks and shared memory limit them: how
/// many registers ptxas would give to a thread is not known.
int blocks_per_multiprocessor(const Card& card, const ptx::Kernel& kernel, int threads, size_t dynamic_shared);

}  // namespace mirilla::emulate
