// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

/// Runs CUDA kernels on the host, thread by thread, with stricter checks than a GPU.
///
/// The blocks of a grid are distributed over host threads (set_host_threads). Within a block each CUDA thread runs until it has to wait for
/// others, at a barrier or a warp function, and then the next one runs: a thread that never waits costs a function call, one that
/// waits costs a stack switch. One thread of a block runs at a time, so a block's result depends on the order of its threads only where
/// the kernel has a race; set_schedule_seed shuffles this order, and that of the blocks, to reveal races.
///
/// Errors are DeviceError and name the kernel, the block and the thread. The kernel is then abandoned: what it has written stays.
namespace mirilla::simt {

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  bool operator==(const dim3&) const = default;
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

/// The launch limits that the executor checks: those of compute capability 9.0.
struct Limits {
  static constexpr unsigned kThreadsPerBlock = 1024;
  static constexpr unsigned kBlockX = 1024, kBlockY = 1024, kBlockZ = 64;
  static constexpr unsigned kGridX = 2147483647, kGridY = 65535, kGridZ = 65535;
  static constexpr size_t kSharedBytes = 227 * 1024;
};

// The built-in variables. They are per host thread and change with each switch from one CUDA thread to another.
inline constinit thread_local uint3 threadIdx{}, blockIdx{};
inline constinit thread_local dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

struct GridCall {
  std::string_view kernel;  // for messages
  dim3 grid, block;
  size_t shared_bytes = 0;       // dynamic shared memory
  bool together = false;         // all blocks are alive at the same time, each on a host thread of its own
  std::function<void()> thread;  // runs the kernel for one CUDA thread, with its arguments
};

/// The most blocks that run together: each of their threads has a stack, and a process has 65530 mappings for these unless its system
/// allows more.
inline constexpr int64_t kMostTogether = 100;

/// Runs the grid to its end. Throws DeviceError.
void run_grid(const GridCall& call);

/// From now on blocks, and threads within a block, start in an order drawn from this seed; 0 is the natural order. Applies to every launch
/// of the program.
void set_schedule_seed(uint64_t seed);
uint64_t schedule_seed();

/// Counts since the program began: kernels, blocks, and switches from one thread's stack to another's.
struct ExecutorCounts {
  uint64_t launches = 0, blocks = 0, switches = 0;
};
ExecutorCounts executor_counts();

// --- What kernels/simt/language.h is made of
// -----------------------------------------------------------------------------------------------

enum class BarrierKind : uint8_t { plain, count, all, any };
/// Waits for all threads of the block. Returns the count, conjunction or disjunction of the predicates.
int block_barrier(BarrierKind kind, bool predicate, std::source_location where);

/// Waits for the lanes of `mask`; the last to arrive calls all(function, lanes), where lanes[i] is lane i's `mine`, or null.
void join_warp(unsigned mask, void* mine, void* function, void (*all)(void* function, void** lanes), std::source_location where);

/// Between the blocks of a grid that run together. One thread of a block raises a flag, and what its block wrote before is visible to those
/// that have waited for it. A wait that no block is left to end is an error.
void raise_flag(unsigned* flag);
void wait_for_flag(const unsigned* flag);
void lower_flag(unsigned* flag);

/// The number of the running thread in its block, x fastest.
int thread_in_block();

/// The block's dynamic shared memory. Aligned to 128 bytes; full of 0xFF bytes when a block starts.
void* dynamic_shared_memory();

/// Throws DeviceError with `what` and the kernel, block and thread; outside a kernel without them.
[[noreturn]] void fail(std::string_view what, std::string_view hint = {});
[[noreturn]] void device_assert(const char* condition, std::source_location where);
[[noreturn]] void fail_misaligned(const void* address, size_t alignment);

inline void check_aligned(const void* address, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(address) % alignment != 0) [[unlikely]]
    fail_misaligned(address, alignment);
}

}  // namespace mirilla::simt
