// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/module.h"

#include <string>

namespace mirilla::emulate {

class Device;

struct LoadedKernel {
  const ptx::Module* module = nullptr;
  const ptx::Kernel* kernel = nullptr;
};

// A program's object files register their kernels before main, and nothing is read until one is first used on a device.

/// A fat binary; the handle goes into register_kernel.
void** register_binary(const void* wrapper);
void register_kernel(void** binary, const void* host, const char* name);
void register_variable(void** binary, const char* name);
/// Its kernels cannot be launched from now on.
void unregister_binary(void** binary);

/// The kernel behind the host's function, in the memory of this device; its module is loaded where it is not. An empty one where nothing
/// was registered under the function. Throws Error where the module does not load or lacks the kernel.
LoadedKernel find_kernel(Device& device, const void* host);
void forget_modules();

}  // namespace mirilla::emulate
