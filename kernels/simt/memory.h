// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

/// The executor's memory. Each allocation lies between two guard zones and is full of 0xFF bytes (NaN in every float type) when it is new:
/// a kernel that reads unwritten memory, or reads or writes beside its tensor, is detected. Under the address sanitizer the zones are
/// poisoned too, and the access itself is caught.
namespace mirilla::simt {

/// Aligned to 256 bytes, as with cudaMalloc. Throws DeviceError where the host has no more memory.
void* allocate_guarded(size_t bytes);
/// Never throws; a damaged guard zone is recorded and thrown by the next check_guards.
void release_guarded(void* address) noexcept;

/// Throws DeviceError if a guard zone of a live allocation was written to, and names `kernel` as the last that ran. Called by run_grid.
void check_guards(const char* kernel);

/// Throws DeviceError unless the range lies inside one live allocation. Checks copies.
void check_range(const void* address, size_t bytes, const char* operation);

size_t guarded_bytes();  // in living allocations

}  // namespace mirilla::simt
