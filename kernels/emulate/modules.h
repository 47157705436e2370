// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/module.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::emulate {

class Device;

struct LoadedKernel {
  const ptx::Module* module = nullptr;
  const ptx::Kernel* kernel = nullptr;
  ptx::u8* ran = nullptr;  // one per instruction of the module, for Options::ran
};

// A program's object files register their kernels before main, and nothing is read until one is first used on a device.

/// A fat binary; the handle goes into register_kernel.
void** register_binary(const void* wrapper);
void register_kernel(void** binary, const void* host, const char* name);
void register_variable(void** binary, const void* host, const char* name);
/// A __managed__ variable: `*host` becomes its address when init_module is called, before the program's first use of it.
void register_managed(void** binary, void** host, const char* name);
void init_module(void** binary);
/// Its kernels cannot be launched from now on.
void unregister_binary(void** binary);

/// The kernel behind the host's function, in the memory of this device; its module is loaded where it is not. An empty one where nothing
/// was registered under the function. Throws Error where the module does not load or lacks the kernel.
LoadedKernel find_kernel(Device& device, const void* host);
/// Calls f with every module of the program, loaded where no kernel of it was used, and with which of its instructions ran.
void each_module(Device& device, const std::function<void(const ptx::Module& module, const std::vector<ptx::u8>& ran)>& f);
/// Calls f with the PTX of every module for this capability.
void each_ptx(int capability, const std::function<void(std::string_view text)>& f);
void forget_modules();

/// The variable behind the host's shadow of it, in the memory of this device; nullptr where nothing was registered there. Throws Error
/// where the module does not load or lacks it.
const ptx::Variable* find_variable(Device& device, const void* host);
/// The kernel's name, as it was registered; nullptr where nothing was registered under the function.
const char* name_of_kernel(const void* host);

}  // namespace mirilla::emulate
