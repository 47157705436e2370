// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <atomic>
#include <cassert>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/core/half.h"
#include "kernels/cuda/platform/allowed_bytes.h"
#include "kernels/cuda/platform/facts.h"
#include "kernels/cuda/platform/kernel_name.h"

/// The GPU's side of the platform: CUDA's runtime. GPUs are counted in CUDA's order (CUDA_VISIBLE_DEVICES says which exist and in what
/// order); each thread's calls go to the GPU it chose last, initially to number 0. Calls return while the GPU works; only copy_to_host and
/// synchronize wait. Each CUDA status is checked; an error becomes a DeviceError.
///
/// A kernel that fails while it runs is reported by a later call. With MIRILLA_CUDA_SYNC=1 in the environment each launch waits, so that
/// the error names the kernel.
namespace mirilla::cuda {

inline constexpr std::string_view kDeviceName = "cuda";
inline constexpr bool kGpu = true;

/// The facts about a GPU; without a GPU, only those that need none.
const DeviceFacts& facts(int index);
/// Empty, or why this GPU cannot be used. Never throws, and works where no driver is installed.
std::string unavailable(int index);
/// One line for the user.
std::string describe_device(int index);

/// Selects the GPU for this thread's calls. Costs nothing where it is selected already.
void choose(int index);
int chosen();
/// The facts about the chosen GPU.
inline const DeviceFacts& facts() { return facts(chosen()); }

/// Allocates on the chosen GPU. Throws DeviceError with the bytes requested, held and free.
void* allocate(size_t bytes);
/// Waits for work that may still use the memory.
void release(void* address) noexcept;
/// Free memory of the chosen GPU.
size_t free_bytes();

/// Host memory that every GPU can access directly: cudaHostAlloc.
void* allocate_pinned(size_t bytes);
void release_pinned(void* address) noexcept;

/// NVTX ranges, shown by Nsight. On where a tool has loaded its library into this process, or with MIRILLA_NVTX=1 in the environment.
bool ranges_wanted();
void push_range(std::string_view name);
void pop_range();

class Stream;

inline constexpr unsigned kCounters = 4096;
using Counters = std::shared_ptr<unsigned>;  // on a GPU

namespace detail {
/// Throws DeviceError: "cudaFree, which was to give memory back (kernels/cuda/platform/gpu_memory.cu:103), failed: <CUDA's text>". The
/// purpose completes "which was to ...".
void check(cudaError_t status, std::string_view call, std::string_view purpose,
           const std::source_location& where = std::source_location::current());
/// For destructors, which may not throw: the error is thrown by the next call that waits for a stream.
void keep_for_later(cudaError_t status, std::string_view call, std::string_view purpose) noexcept;
/// After a library put work on the stream: with MIRILLA_CUDA_SYNC=1 waits for it, so that an error is reported here.
void library_called(Stream& stream, std::string_view purpose);
/// Throws OutOfMemory with the amounts on the chosen GPU.
[[noreturn]] void out_of_memory(size_t bytes);
/// Waits for the chosen GPU and frees the memory that Scratch and unused replays keep. False, and nothing is done, while a replay records.
bool give_scratch_back();
/// Counters at 0, in the stream's order.
Counters make_counters(Stream& stream);
/// How many replays are recording, on any thread.
int recordings();
}  // namespace detail

/// The memory of Scratch while a replay records, which the replay keeps: a graph that allocated it anew at each run would spend more nodes
/// on that than on some of its kernels. Blocks, of which pieces are handed out and come back in the stream's order, so that the next user
/// comes later in it. A piece that no block has room for brings another block.
class ScratchArena {
 public:
  /// With one block, if `bytes` is not 0. Throws DeviceError.
  explicit ScratchArena(size_t bytes);
  /// Waits for work that may still use it.
  ~ScratchArena();
  ScratchArena(const ScratchArena&) = delete;
  ScratchArena& operator=(const ScratchArena&) = delete;

  /// Aligned to 256 bytes. Throws DeviceError.
  void* take(size_t bytes);
  void give(void* address) noexcept;
  size_t blocks() const { return blocks_.size(); }

 private:
  struct Block {
    char* begin;
    size_t bytes;
    std::map<size_t, size_t> taken;  // where pieces begin and end
  };
  void add_block(size_t bytes);
  std::vector<Block> blocks_;
};

class Event;

/// Work in order, and not ordered with work of other streams. While a replay records, work is recorded and not run.
class Stream {
 public:
  /// Used only by the executor, which delays the work of one stream; a GPU ignores it.
  enum class Pace { at_once, when_waited_for };
  /// On this GPU, whichever GPU the thread chose.
  explicit Stream(int index = 0, Pace pace = Pace::at_once);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// When it returns, the caller may reuse `from`.
  void copy_from_host(void* to, const void* from, size_t bytes);
  /// Waits until the copy is done.
  void copy_to_host(void* to, const void* from, size_t bytes);
  /// These two never wait: the caller may use the memory again when a later event is done.
  void copy_from_pinned(void* to, const void* pinned, size_t bytes);
  void copy_to_pinned(void* pinned, const void* from, size_t bytes);
  void copy(void* to, const void* from, size_t bytes);
  void fill_bytes(void* to, int value, size_t bytes);
  void synchronize();
  /// Work submitted from now on runs after the event, which may be of another stream.
  void wait_for(const Event& event);

  /// kCounters counters on the GPU, 0 whenever no kernel of this stream runs: a kernel that counts leaves them at 0. While a replay records
  /// they are the replay's own, which may run beside this stream's other work.
  unsigned* counters();

  int index() const { return index_; }
  cudaStream_t native() const { return stream_; }
  bool recording() const { return recording_; }

 private:
  friend class Replay;
  friend class Scratch;
  int index_;
  cudaStream_t stream_ = nullptr;
  std::atomic<bool> recording_ = false;                // memory may be returned, and so ask for it, on any thread
  ScratchArena* arena_ = nullptr;                      // of the recording
  size_t scratch_bytes_ = 0, most_scratch_bytes_ = 0;  // held by launchers outside recordings: now, and at most
  std::once_flag has_counters_;
  Counters counters_, recorded_counters_;
};

class Event {
 public:
  /// An event without timing costs less.
  enum class Timed : bool { no, yes };
  explicit Event(Timed timed = Timed::yes);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream& stream);
  void synchronize() const;
  bool done() const;
  /// Both must be done.
  static double milliseconds_between(const Event& start, const Event& end);
  cudaEvent_t native() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Recorded work of a stream, to be run again with the same addresses: a CUDA graph.
class Replay {
 public:
  /// Records the work that f puts on the stream, without running it. Meanwhile, waiting is an error, and so is running a replay.
  static Replay record(Stream& stream, const std::function<void()>& f);
  void run(Stream& stream) const;
  size_t size() const { return size_; }

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const noexcept;
  };
  Counters counters_;                    // of the kernels in graph_, which ends first
  std::unique_ptr<ScratchArena> arena_;  // likewise
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> graph_;
  size_t size_ = 0;
};

/// Memory for a launcher's intermediate results; the next user of the memory comes later in the stream. A replay that records it keeps it.
class Scratch {
 public:
  Scratch(Stream& stream, size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(address_);
  }

 private:
  Stream& stream_;
  ScratchArena* arena_ = nullptr;  // null: CUDA's pool
  size_t bytes_ = 0;
  void* address_ = nullptr;
};

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;
  bool together = false;         // all blocks run at the same time and may wait for one another (raise_flag, wait_for_flag)
  int64_t read_again_bytes = 0;  // for the account of a step: what the launch reads of its tensors a second time
};

namespace detail {
void launch(Stream& stream, const LaunchShape& shape, const void* kernel, std::string_view name, void** args);
void allow_shared_bytes(const void* kernel, std::string_view name, size_t bytes);

template <auto Kernel>
std::string_view kernel_name() {
  static const std::string_view name = kernel_in(__PRETTY_FUNCTION__);
  return name;
}

template <auto Kernel>
struct Launch;
template <class... P, void (*Kernel)(P...)>
struct Launch<Kernel> {
  static void on(Stream& stream, const LaunchShape& shape, P... args) {
    const void* const kernel = reinterpret_cast<const void*>(Kernel);
    static AllowedBytes allowed;
    allowed.want(stream.index(), shape.shared_bytes, [&] {
      choose(stream.index());  // the request is for the chosen GPU
      allow_shared_bytes(kernel, kernel_name<Kernel>(), shape.shared_bytes);
    });
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(std::addressof(args)))..., nullptr};
    launch(stream, shape, kernel, kernel_name<Kernel>(), addresses);
  }
};
}  // namespace detail

/// The most blocks that can run together: as many as facts() says fit.
inline int64_t most_together(const Stream&) { return std::numeric_limits<int64_t>::max(); }

/// Starts a kernel. Throws DeviceError naming it where the launch is not possible.
template <auto Kernel, class... Args>
void launch(Stream& stream, const LaunchShape& shape, Args&&... args) {
  detail::Launch<Kernel>::on(stream, shape, std::forward<Args>(args)...);
}

/// The block's dynamic shared memory, aligned to 128 bytes.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char mirilla_dynamic_shared[];
  return reinterpret_cast<T*>(mirilla_dynamic_shared);
}

#ifdef __CUDACC__  // the host's compiler, which reads this file for vendor/, knows no fences
/// Between the blocks of a launch that run together. One thread of a block raises a flag, and what its block wrote before is visible to
/// those that have waited for it.
__device__ __forceinline__ void raise_flag(unsigned* flag) {
  __threadfence();
  *static_cast<volatile unsigned*>(flag) = 1;
}
__device__ __forceinline__ void wait_for_flag(const unsigned* flag) {
  constexpr unsigned kNanoseconds = 64;
  while (*static_cast<const volatile unsigned*>(flag) == 0) __nanosleep(kNanoseconds);
  __threadfence();
}
__device__ __forceinline__ void lower_flag(unsigned* flag) { *static_cast<volatile unsigned*>(flag) = 0; }
#endif

__host__ __device__ __forceinline__ float widen(float x) { return x; }
__host__ __device__ __forceinline__ float widen(Half x) { return __half2float(__ushort_as_half(x.bits)); }
__host__ __device__ __forceinline__ float widen(BFloat16 x) { return __bfloat162float(__ushort_as_bfloat16(x.bits)); }
/// Rounds to nearest, ties to even.
template <class T>
__host__ __device__ __forceinline__ T narrow(float x) {
  if constexpr (std::is_same_v<T, Half>) {
    return Half::from_bits(__half_as_ushort(__float2half_rn(x)));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return BFloat16::from_bits(__bfloat16_as_ushort(__float2bfloat16_rn(x)));
  } else {
    return T(x);
  }
}

/// The executor checks here that the address is aligned for a vector access; a GPU reports it as a misaligned address.
template <class T>
__host__ __device__ __forceinline__ T* assume_aligned(T* address) {
  return address;
}

}  // namespace mirilla::cuda
