// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

/// The executor's memory. Each allocation lies between two guard zones and is full of 0xFF bytes (NaN in every float type) when it is new:
/// a kernel that reads what nobody wrote, or reads or writes beside its tensor, shows. Under the address sanitizer the zones are poisoned
/// too, and the very access is caught.
namespace mirilla::simt {

/// Aligned to 256 bytes, as cudaMalloc's. Throws DeviceError where the host has no more.
void* allocate_guarded(size_t bytes);
/// Throws nothing; a damaged guard zone is remembered and thrown by the next check_guards.
void release_guarded(void* address) noexcept;

/// Throws DeviceError if a guard zone of a living allocation was written to, naming `kernel` as the last that ran. run_grid calls it.
void check_guards(const char* kernel);

/// Throws DeviceError unless the range lies inside one living allocation: what a copy is held to.
void check_range(const void* address, size_t bytes, const char* operation);

size_t guarded_bytes();  // in living allocations

}  // namespace mirilla::simt
