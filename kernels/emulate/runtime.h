// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/error.h"
#include "kernels/emulate/blocks.h"
#include "kernels/emulate/capture.h"
#include "kernels/emulate/pinned.h"
#include "kernels/emulate/settings.h"
#include "kernels/emulate/stream.h"
#include "kernels/ptx/count.h"
#include "kernels/ptx/machine.h"

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mirilla::emulate {

/// One emulated GPU.
class Device {
 public:
  Device(int number, const Settings& settings);

  /// Runs f, unless an error sticks. What f throws becomes the error that sticks, and its sentence goes to stderr.
  void execute(const std::function<void()>& f);
  /// A mistake that a GPU would answer with wrong numbers at best: the sentence goes to stderr, and the error sticks.
  void misuse(cudaError_t error, std::string_view sentence);
  /// Throws Fault unless the bytes lie in one piece of memory that exists at this time.
  void check_reach(const void* address, size_t bytes, std::string_view what);
  ptx::Memory::Content content() const;
  /// Gives back what the pool keeps beyond so many bytes.
  void trim(size_t keep);
  size_t free_bytes() const { return memory_bytes - used; }

  const int index;
  const Settings& settings;
  const Card& card;
  const size_t memory_bytes;
  ptx::Memory memory;
  ptx::Machine machine;
  ptx::Work work;                    // of all launches
  cudaError_t broken = cudaSuccess;  // the error that sticks
  size_t used = 0;                   // bytes of its memory, with what the pool keeps
  size_t pool_kept = 0;              // freed into the pool and not given back
  size_t pool_threshold = 0;
  cudaMemPool_t pool = nullptr;  // the current one, where it is not the default
  std::shared_ptr<CUstream_st> legacy;
  std::map<const void*, size_t> shared_allowed;  // dynamic shared memory per kernel, beyond the default
  std::map<int, size_t> limits;                  // cudaDeviceSetLimit
  unsigned flags = 0;                            // cudaSetDeviceFlags
  std::unique_ptr<ptx::u64[]> workspace;         // where the blocks of a cooperative launch meet
};

/// The state behind the functions of CUDA's runtime. Every call holds the mutex; kernels run inside the call that waits for them.
class Runtime {
 public:
  explicit Runtime(Settings wanted);

  Device& device() { return *devices[static_cast<size_t>(current())]; }
  /// nullptr for a handle that is no stream. The default stream is that of the current device.
  std::shared_ptr<CUstream_st> stream(cudaStream_t handle);
  /// cudaStreamPerThread of the calling thread on its device.
  std::shared_ptr<CUstream_st> stream_of_thread();
  CUevent_st* event(cudaEvent_t handle);

  /// Counts the call; what it shall return because somebody asked for it, or nullptr.
  const Failure* asked_to_fail(std::string_view call);
  /// The same for the runtime's own functions.
  cudaError_t injected(std::string_view call);
  /// The wait of Mistake::Kind::kWait.
  cudaError_t wait_by_mistake();
  /// Bytes that a copy or fill is to do: one less by mistake.
  size_t bytes_by_mistake(size_t bytes) const { return bytes - (mistake == Mistake::Kind::kShort && bytes > 0); }
  /// Counts what a library is given under this name; whether it shall be something else.
  bool altered(std::string_view name);
  /// Does other streams' work for a while, where a seed asks for other orders.
  void wander();
  /// All work of a device.
  void drain(Device& device);
  /// Work has been given that the program may wait for without a call: a host function. A thread of ours does it when nobody calls for a
  /// while.
  void watch();
  void report() const;

  static int& current();       // device of the calling thread
  static cudaError_t& last();  // error of the calling thread

  const Settings settings;
  std::recursive_mutex mutex;
  std::vector<std::unique_ptr<Device>> devices;
  Blocks blocks;
  PinnedWatch pinned;
  std::map<cudaStream_t, std::shared_ptr<CUstream_st>> streams;
  std::vector<std::shared_ptr<CUstream_st>> orphans;  // destroyed, with work left
  std::set<cudaEvent_t> events;
  std::map<cudaMemPool_t, int> pools;  // made by the program: the device of each, whose memory its pools share
  std::set<cudaGraph_t> graphs;
  std::set<cudaGraphExec_t> execs;
  std::vector<std::shared_ptr<Capture>> captures;
  std::map<std::string, ptx::u64, std::less<>> calls;
  std::map<std::string, ptx::u64, std::less<>> given;  // what may be altered: how often it came
  ptx::Counts counts;
  std::mt19937_64 random;
  bool wandering = false;
  ptx::u64 calls_made = 0;
  bool watched = false;  // the thread of watch() exists
  double seconds_in_kernels = 0;
  double seconds_in_libraries = 0;               // in their stand-ins
  Mistake::Kind mistake = Mistake::Kind::kNone;  // of the call that runs
};

/// Made at the first call from the environment, never destroyed.
Runtime& runtime();
/// For tests: all GPUs, memory and streams anew. Loaded modules are loaded again.
void start_over(Settings settings);

/// Prints the error to stderr and ends the program with exit code 1: for what makes any result worthless.
[[noreturn]] void end_program(const Error& error);
void print_line(std::string_view text);

enum class Needs { kNothing, kHealthy };  // kHealthy: where an error sticks, the call returns it

/// The frame of a function of the runtime: lock, faults injected, the error that sticks, cudaGetLastError.
template <class F>
cudaError_t call(const char* name, Needs needs, F f) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.mutex);
  cudaError_t status = r.injected(name);
  const cudaError_t& broken = r.device().broken;
  if (status == cudaSuccess && needs == Needs::kHealthy) status = broken;
  try {
    if (status == cudaSuccess && r.mistake != Mistake::Kind::kNone) {
      if (r.mistake == Mistake::Kind::kDrop) return cudaSuccess;
      if (r.mistake == Mistake::Kind::kWait) status = r.wait_by_mistake();
    }
    if (status == cudaSuccess) status = f(r);
  } catch (const Error& error) {
    end_program(error);
  } catch (const std::bad_alloc&) {
    status = cudaErrorMemoryAllocation;
  }
  if (status == cudaSuccess && needs == Needs::kHealthy) status = broken;
  if (status != cudaSuccess) Runtime::last() = status;
  return status;
}

}  // namespace mirilla::emulate
